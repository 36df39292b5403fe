// Every text of the page, in both languages.
export const TEXTS = {
  zh: {
    language: "English", interface: "接口文档",
    subtitle: "中文分词、词性、实体与 ELMo 词向量",
    tagHeading: "分词与标注", tagLabel: "文本", tagButton: "分析",
    tagHint: "Ctrl + Enter 也可提交；最多 10,000 个字。",
    legend: "图例", unknown: "模型不认识的词", doubtful: "模型没有把握的词（概率低于 50 %）",
    confidence: (percent) => `概率 ${percent} %`,
    meaningsHeading: "一个词，多种意思",
    meaningsIntroduction:
      "同一个词在不同句子里有不同的 ELMo 向量；静态词向量只有一个，分不清意思。下面的数是余弦相似度："
      + "模型越好，同一意思的句子之间越高，不同意思之间越低。句子里的空格不起作用。",
    cutSentences: "句子的切分", emptyText: "请输入文本。",
    wordLabel: "词", layerLabel: "层",
    layerFirst: "第 1 层 LSTM", layerTop: "顶层 LSTM", layerAverage: "各层平均", layerMix: "标注器学到的混合",
    addButton: "添加句子", meaningsButton: "比较", sentence: "句子", remove: "删除",
    contextual: "上下文向量（ELMo）", static: "静态词向量", map: "向量的二维图（主成分）",
    summary: (word, low, high) =>
      `“${word}”在这些句子里的上下文向量，两两相似度${low === high ? `为 ${low}` : `从 ${low} 到 ${high}`}；`
      + "静态向量处处相同。",
    wordUnknown: (word) => `模型不认识“${word}”。`,
    layersHeading: "ELMo 各层的权重",
    layersIntroduction: "标注器训练时学到的各层比例：",
    layer: (number) => (number ? `第 ${number} 层 LSTM` : "词向量层"),
    gamma: (value) => `混合之后乘以 γ = ${value}`,
    text_too_long: (failure) =>
      `文本太长：最多 ${failure.limit} 个字，这里有 ${failure.found} 个。`,
    word_not_found: (failure) => `第 ${failure.found + 1} 个句子里没有这个词。`,
    body_too_large: () => "文本太长，服务器不接收。",
    too_many_numbers: () => "文本太长，向量太多。",
    invalid: () => "请检查输入：内容不能为空，也不能含有无法编码的字符。",
    timeout: () => "发送太慢，服务器没有等到全部内容。",
    internal: () => "服务器出错了，原因见它的日志。",
    http_503: () => "服务器正忙，请稍后再试。",
    unreachable: () => "连不上服务器。",
  },
  en: {
    language: "中文", interface: "API",
    subtitle: "Chinese words, parts of speech, entities and ELMo's vectors",
    tagHeading: "Words and tags", tagLabel: "Text", tagButton: "Analyse",
    tagHint: "Ctrl + Enter submits, too; at most 10,000 characters.",
    legend: "Legend", unknown: "words unknown to the model",
    doubtful: "words that the model doubts (less than 50 % probable)",
    confidence: (percent) => `${percent} % probable`,
    meaningsHeading: "One word, several meanings",
    meaningsIntroduction:
      "A word has another ELMo vector in every sentence; its static vector is one and cannot tell "
      + "the meanings apart. The figures are cosine similarities: the better the model, the higher "
      + "between sentences of one meaning and the lower between meanings. Spaces do not matter.",
    cutSentences: "The sentences as they were cut", emptyText: "Please enter a text.",
    wordLabel: "Word", layerLabel: "Layer",
    layerFirst: "first LSTM layer", layerTop: "top LSTM layer",
    layerAverage: "average of all", layerMix: "mix that the tagger learned",
    addButton: "Add a sentence", meaningsButton: "Compare", sentence: "Sentence", remove: "Remove",
    contextual: "Contextual vectors (ELMo)", static: "Static word vector",
    map: "The vectors in two dimensions (principal components)",
    summary: (word, low, high) =>
      `The contextual vectors of “${word}” in these sentences are alike by `
      + `${low === high ? low : `${low} to ${high}`}; `
      + "the static ones are all the same.",
    wordUnknown: (word) => `The model does not know “${word}”.`,
    layersHeading: "How much each ELMo layer counts",
    layersIntroduction: "The shares that the tagger learned in training:",
    layer: (number) => (number ? `LSTM layer ${number}` : "token layer"),
    gamma: (value) => `The mix is multiplied by γ = ${value}.`,
    text_too_long: (failure) =>
      `The text is too long: at most ${failure.limit} characters, found ${failure.found}.`,
    word_not_found: (failure) => `Sentence ${failure.found + 1} does not contain the word.`,
    body_too_large: () => "The text is too long for the server.",
    too_many_numbers: () => "The text is too long: too many vectors.",
    invalid: () => "Please check what was typed: nothing may be empty or impossible to encode.",
    timeout: () => "The text was sent too slowly.",
    internal: () => "The server failed; its log tells why.",
    http_503: () => "The server is busy; please try again.",
    unreachable: () => "The server cannot be reached.",
  },
};

export const EXAMPLES = {
  text: "昨天下午，小川在上海买了两斤苹果。",
  word: "苹果",
  sentences: [
    "我买了一斤苹果", "我新买了一个苹果手机", "妹妹吃了半个苹果", "公司买了一台苹果电脑",
  ],
};
