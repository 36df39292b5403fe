"""The words of the small corpora, written for this project."""

SENTENCE = "今天 天气 很 好 我们 去 公园 看 花 。 他 说 明天 会 下雨 ， 你 带 伞 了 吗 ？"
WORDS = SENTENCE.split()
