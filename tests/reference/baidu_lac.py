"""Folders in the layout of Baidu's LAC 2 with tiny random weights, and their networks in NumPy.

Nothing here is Baidu's: words, tags and weights are made up.
"""

import numpy as np

from tests.reference.lark_files import tensor_bytes

MODES = ("lac", "seg", "rank")
EMBEDDING, SIZE, LAYERS = 6, 5, 2  # of the taggers; SIZE: of a GRU
TAG_EMBEDDING, CELL, HIDDEN, RANKS, TAG_ROWS = 3, 4, 7, 4, 11  # of the ranker
CHARACTERS = "春天来了小明在北京看花，。a1A"
WORDS = [" ", *CHARACTERS, "春天", "小明", "北京", "春天来了", "a1", "OOV"]  # in the order of ids
TAGS = {  # two ids have two names, of which the second is shown
    "lac": [(0, "n-B"), (1, "n-I"), (2, "nr-B"), (3, "nr-I"), (4, "v-B"), (5, "v-I"), (6, "w-B"),
            (2, "PER-B"), (3, "PER-I"), (7, "O")],
    "seg": [(0, "-B"), (1, "-I"), (2, "-E"), (3, "-S")],
}
FOLDS = {"Ａ": "A", "A": "a", "\u3000": " ", "來": "来", "１": "1"}
DICTIONARY = {"春天": 40, "来了": 7, "小明": 5, "北京": 60, "春天来了": 2, "看花": 3}


def words_of(mode):
    """Return the words of a mode; seg knows no words of several characters."""
    return [word for word in WORDS if mode != "seg" or len(word) == 1 or word == "OOV"]


def tags_of(mode):
    """Return the tag that is shown for each id."""
    return [tag for _, tag in sorted(dict(TAGS["seg" if mode == "seg" else "lac"]).items())]


def conf_files(mode):
    """Return the texts of the files in conf/ by their names."""
    def numbered(items):
        return "".join(f"{number}\t{item}\n" for number, item in items)

    return {
        "args.ini": "[DEFAULT]\ndefault_name = x\n\n[NETWORK_CONFIG]\nword_emb_dim = "
                    f"{EMBEDDING}\n\n[TRAIN_CONFIG]\nmodel = {mode}\ninit_checkpoint = model\n",
        "word.dic": numbered(enumerate(words_of(mode))),
        "tag.dic": numbered(TAGS["seg" if mode == "seg" else "lac"]),
        "q2b.dic": "".join(f"{form}\t{ordinary}\n" for form, ordinary in FOLDS.items()),
        "small_seg.dic": "".join(f"{word} {count}\n" for word, count in DICTIONARY.items()),
    }


def variables(mode, seed=0):
    """Return a model's variables by LAC's names."""
    shapes = {"word_emb": (len(words_of(mode)), EMBEDDING)}
    if mode == "rank":
        features = EMBEDDING + TAG_EMBEDDING
        shapes.update({"embedding_1.w_0": (TAG_ROWS, TAG_EMBEDDING)})
        for number in range(2):
            shapes.update({
                f"fc_{number}.w_0": (features, 4 * CELL), f"fc_{number}.b_0": (4 * CELL,),
                f"lstm_{number}.w_0": (CELL, 4 * CELL), f"lstm_{number}.b_0": (1, 7 * CELL),
            })
        shapes.update({"fc_2.w_0": (2 * CELL, HIDDEN), "fc_2.b_0": (HIDDEN,),
                       "fc_3.w_0": (HIDDEN, RANKS), "fc_3.b_0": (RANKS,)})
    else:
        num_tags = len(tags_of(mode))
        for number in range(2 * LAYERS):
            features = EMBEDDING if number < 2 else 2 * SIZE
            shapes.update({
                f"fc_{number}.w_0": (features, 3 * SIZE), f"fc_{number}.b_0": (3 * SIZE,),
                f"gru_{number}.w_0": (SIZE, 3 * SIZE), f"gru_{number}.b_0": (1, 3 * SIZE),
            })
        shapes.update({f"fc_{2 * LAYERS}.w_0": (2 * SIZE, num_tags),
                       f"fc_{2 * LAYERS}.b_0": (num_tags,), "crfw": (num_tags + 2, num_tags)})
    random = np.random.default_rng([MODES.index(mode), seed])
    return {name: random.uniform(-1.5, 1.5, shape).astype(np.float32)
            for name, shape in shapes.items()}


def write_folder(folder, mode, seed=0):
    """Write the folder of a model: `model`, one file a variable, and `conf`."""
    for name, array in variables(mode, seed).items():
        (folder / "model").mkdir(parents=True, exist_ok=True)
        (folder / "model" / name).write_bytes(tensor_bytes(array))
    (folder / "model/__model__").write_bytes(b"a program, which is not read")
    (folder / "conf").mkdir()
    for name, text in conf_files(mode).items():
        (folder / "conf" / name).write_bytes(text.encode("utf-8"))
    return folder


def write_package(folder, seed=0):
    """Write `lac_model`, `seg_model` and `rank_model`, as they stand in the package."""
    for mode in MODES:
        write_folder(folder / f"{mode}_model", mode, seed)
    return folder


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def both_ways(run, values):
    """Return the joined results of run(number, rows): 0 from the left, 1 from the right."""
    return np.concatenate([run(0, values), run(1, values[::-1])[::-1]], axis=-1)


def emissions_of(arrays, words):
    """Return the tags' scores (steps, tags) of one text's ids, as fluid's dynamic_gru has them."""
    arrays = {name: array.astype(np.float64) for name, array in arrays.items()}
    size = arrays["gru_0.w_0"].shape[0]
    values = arrays["word_emb"][words]
    for layer in range(LAYERS):
        def run(direction, rows, layer=layer):
            number = 2 * layer + direction
            flat = arrays[f"gru_{number}.w_0"].ravel()
            gate_weights = flat[: 2 * size**2].reshape(size, 2 * size)
            candidate_weights = flat[2 * size**2 :].reshape(size, size)
            h, states = np.zeros(size), []
            for row in rows:
                x = row @ arrays[f"fc_{number}.w_0"] + arrays[f"fc_{number}.b_0"]
                x += arrays[f"gru_{number}.b_0"][0]
                update, reset = np.split(sigmoid(x[: 2 * size] + h @ gate_weights), 2)
                candidate = np.tanh(x[2 * size :] + (reset * h) @ candidate_weights)
                h = (1 - update) * h + update * candidate
                states.append(h)
            return np.array(states)
        values = both_ways(run, values)
    return values @ arrays[f"fc_{2 * LAYERS}.w_0"] + arrays[f"fc_{2 * LAYERS}.b_0"]


def rank_scores_of(arrays, words, tags):
    """Return the ranks' scores (steps, ranks) of one text's ids, as dynamic_lstm has them."""
    arrays = {name: array.astype(np.float64) for name, array in arrays.items()}
    size = arrays["lstm_0.w_0"].shape[0]
    values = np.concatenate([arrays["word_emb"][words], arrays["embedding_1.w_0"][tags]], -1)

    def run(number, rows):
        bias = arrays[f"lstm_{number}.b_0"][0]
        to_input, to_forget, to_output = (bias[place * size : place * size + size]
                                          for place in (4, 5, 6))
        h, c, states = np.zeros(size), np.zeros(size), []
        for row in rows:
            x = row @ arrays[f"fc_{number}.w_0"] + arrays[f"fc_{number}.b_0"]
            x += h @ arrays[f"lstm_{number}.w_0"] + bias[: 4 * size]
            entering = sigmoid(x[size : 2 * size] + to_input * c) * np.tanh(x[:size])
            c = sigmoid(x[2 * size : 3 * size] + to_forget * c) * c + entering
            h = sigmoid(x[3 * size :] + to_output * c) * np.tanh(c)
            states.append(h)
        return np.array(states)

    hidden = both_ways(run, values) @ arrays["fc_2.w_0"] + arrays["fc_2.b_0"]
    return np.maximum(hidden, 0) @ arrays["fc_3.w_0"] + arrays["fc_3.b_0"]
