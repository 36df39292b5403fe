// Cross entropy of a softmax over many classes, and its gradients, without all logits at once.
#pragma once

#include <cstdint>

namespace bilm {

// logits of token t: hidden_t . weight_v + bias_v for the classes v, and, where `extra` is not
// null, one more, extra_t, that counts where the target is -1 and is then the target.
struct SoftmaxInput {
  int64_t tokens, classes, features;
  const float *hidden, *weight, *bias;  // (tokens, features), (classes, features), (classes)
  const float* extra;                   // (tokens) or null
  const int64_t* targets;               // (tokens), from 0 on, or -1
};

// Of sum_t token_weights_t * nats_t.
struct SoftmaxGradients {
  float *hidden, *weight, *bias;  // as in the input
  float* extra;                   // (tokens) or null
};

// Writes nats_t = log(sum of exp(logits)) - logit of the target (tokens); and the gradients, if
// there are token weights. At most max_logits logits, but those of one token, exist at once.
void softmax_cross_entropy(const SoftmaxInput& input, const float* token_weights,
                           int64_t max_logits, float* nats, const SoftmaxGradients& gradients);

}  // namespace bilm
