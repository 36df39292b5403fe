// The page: asks the server, shows its answers. Text reaches the page as text only, never as HTML.
import { EXAMPLES, TEXTS } from "./texts.js";

const find = (id) => document.getElementById(id);
const FAMILIES = {
  person: ["nr", "PER"], place: ["ns", "LOC"], organisation: ["nt", "ORG"], work: ["nw"],
  name: ["nz"], time: ["t", "TIME"], noun: ["n", "f", "s", "an", "vn"], verb: ["v", "vd"],
  adjective: ["a", "ad", "d"],
};
const DOUBT = 0.5; // words of less confidence are marked
const ENTITIES = ["person", "place", "organisation", "work", "name", "time"];
const state = { language: "zh", model: null, text: "", tagged: null, meanings: null, failures: {} };

const text = (key) => TEXTS[state.language][key];

function make(tag, properties = {}, children = []) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

async function ask(path, body) {
  let response;
  try {
    response = await fetch(path, body && {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
  } catch {
    throw { code: "unreachable" };
  }
  const answer = await response.json().catch(() => null);
  if (!response.ok || !answer) {
    throw answer || { code: `http_${response.status}`, error: `HTTP ${response.status}` };
  }
  return answer;
}

// Runs an action of a form; its button rests meanwhile, an error is told beside it.
async function run(name, action) {
  const button = find(`${name}-form`).querySelector("[type=submit]");
  button.disabled = true;
  find(`${name}-form`).setAttribute("aria-busy", "true");
  state.failures[name] = null;
  try {
    if (!state.model) await loadModel();
    await action();
  } catch (failure) {
    if (failure instanceof Error) throw failure;
    state.failures[name] = failure;
    find(`${name}-result`).hidden = true;
  } finally {
    button.disabled = false;
    find(`${name}-form`).removeAttribute("aria-busy");
    showFailure(name);
  }
}

function showFailure(name) {
  const failure = state.failures[name];
  const tell = failure && text(failure.code);
  const line = find(`${name}-error`);
  line.textContent = typeof tell === "function" ? tell(failure) : tell || (failure || {}).error || "";
  line.hidden = !failure;
}

async function loadModel() {
  state.model = await ask("model");
  showLayers();
}

const familyOf = (tag) =>
  Object.keys(FAMILIES).find((name) => FAMILIES[name].includes(tag)) || "function";
const classesOf = (tag) => {
  const family = familyOf(tag);
  return ENTITIES.includes(family) ? `${family} entity` : family;
};
function nameOf(tag) {
  const names = state.model.types[tag];
  if (!names) return tag;
  return state.language === "zh" ? names.chinese : names.english;
}

// null, which is not computed, is not doubtful
const isDoubtful = (word) => word.confidence !== null && word.confidence < DOUBT;

function showTagged() {
  const words = state.tagged;
  if (!words || state.failures.tag) return;
  const characters = [...state.text]; // code points, as the server counts
  find("tagged").replaceChildren(...words.map((word) => {
    const textContent = characters.slice(word.start, word.end).join("");
    if (!textContent.trim()) return textContent;
    const about = [nameOf(word.tag)];
    if (word.confidence !== null) about.push(text("confidence")(Math.floor(word.confidence * 100)));
    if (!word.known) about.push(text("unknown"));
    const marks = [word.known ? "" : "unknown", isDoubtful(word) ? "doubtful" : ""];
    const shown = make("span", { textContent, className: marks.join(" ").trim() });
    return make("span", { className: `word ${classesOf(word.tag)}`, title: about.join("; ") },
      [shown, make("small", { textContent: word.tag })]);
  }));
  const counts = new Map();
  words.filter((word) => word.text.trim()).forEach((word) =>
    counts.set(word.tag, (counts.get(word.tag) || 0) + 1));
  const entries = [...counts].sort((one, other) => other[1] - one[1]).map(([tag, count]) =>
    make("li", { className: classesOf(tag), textContent: `${tag} ${nameOf(tag)} × ${count}` }));
  const legend = { unknown: (word) => !word.known, doubtful: isDoubtful };
  Object.keys(legend).filter((mark) => words.some(legend[mark])).forEach((mark) =>
    entries.push(make("li", {}, [make("span", { className: mark, textContent: text(mark) })])));
  find("legend").replaceChildren(...entries);
  find("tag-result").hidden = false;
}

function addSentence(value = "") {
  const list = find("sentences");
  const input = make("input", { type: "text", value, lang: "zh", autocomplete: "off" });
  const button = make("button", { type: "button", textContent: "×" });
  const item = make("li", {}, [make("div", {}, [input, button])]);
  button.addEventListener("click", () => {
    const next = item.nextElementSibling || item.previousElementSibling;
    item.remove();
    nameSentences();
    (next ? next.querySelector("input") : find("add")).focus();
  });
  list.append(item);
  nameSentences();
  return input;
}

function nameSentences() {
  [...find("sentences").children].forEach((item, number) => {
    const name = `${text("sentence")} ${number + 1}`;
    item.querySelector("input").setAttribute("aria-label", name);
    item.querySelector("button").setAttribute("aria-label", `${text("remove")}: ${name}`);
    item.querySelector("button").disabled = find("sentences").children.length <= 2;
  });
  const most = state.model ? state.model.limits.max_texts : 2;
  find("add").disabled = find("sentences").children.length >= most;
}

function showHeatMap(table, values, low) {
  const numbers = values.map((_, number) => make("th", { textContent: number + 1 }));
  const rows = values.map((row, number) => {
    const cells = row.map((value) => {
      const cell = make("td", { textContent: value.toFixed(2) });
      const share = low < 1 ? (value - low) / (1 - low) : 1;
      cell.style.backgroundColor = `rgb(var(--heat) / ${Math.max(0, share) * 0.4})`;
      return cell;
    });
    return make("tr", {}, [make("th", { textContent: number + 1, scope: "row" }), ...cells]);
  });
  table.replaceChildren(make("tr", {}, [make("td"), ...numbers]), ...rows);
}

function draw(tag, attributes, content = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  element.textContent = content;
  return element;
}

// The words around the one that is compared: enough to tell the points apart.
function surroundings(words, position) {
  const start = Math.max(0, position - 2);
  const part = words.slice(start, position + 3).join("");
  return (start ? "…" : "") + part + (position + 3 < words.length ? "…" : "");
}

function showMap(meanings) {
  const [width, height, margin] = [320, 240, 30];
  const largest = (axis) => Math.max(1e-9, ...meanings.points.map((point) => Math.abs(point[axis])));
  const scale = Math.min((width / 2 - margin) / largest(0), (height / 2 - margin) / largest(1));
  const shapes = [
    draw("line", { x1: 0, y1: height / 2, x2: width, y2: height / 2 }),
    draw("line", { x1: width / 2, y1: 0, x2: width / 2, y2: height }),
  ];
  meanings.points.forEach(([right, up], number) => {
    const [x, y] = [width / 2 + right * scale, height / 2 - up * scale];
    const point = draw("g", {});
    const around = surroundings(meanings.sentences[number], meanings.positions[number]);
    point.append(
      draw("title", {}, around), draw("circle", { cx: x, cy: y, r: 9 }),
      draw("text", { x, y: y + 4, "text-anchor": "middle" }, number + 1),
    );
    shapes.push(point);
  });
  find("map").replaceChildren(...shapes);
  find("map").setAttribute("aria-label", text("map"));
}

function showMeanings() {
  const meanings = state.meanings;
  if (!meanings || state.failures.meanings) return;
  const values = meanings.contextual.flatMap((row, one) => row.filter((_, other) => other !== one));
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const unknown = meanings.known ? "" : ` ${text("wordUnknown")(meanings.word)}`;
  find("meanings-summary").textContent =
    text("summary")(meanings.word, low.toFixed(2), high.toFixed(2)) + unknown;
  const bottom = Math.min(low, 0.99);
  showHeatMap(find("contextual"), meanings.contextual, bottom);
  showHeatMap(find("static"), meanings.static, bottom);
  showMap(meanings);
  find("cut").replaceChildren(...meanings.sentences.map((words, number) => {
    const parts = words.flatMap((word, place) => [
      place ? " / " : "", place === meanings.positions[number] ? make("mark", { textContent: word }) : word,
    ]);
    return make("li", {}, parts);
  }));
  find("meanings-result").hidden = false;
}

function showLayers() {
  const elmo = state.model && state.model.elmo;
  nameSentences();
  if (!elmo) return;
  find("shares").replaceChildren(...elmo.shares.flatMap((share, number) => {
    const bar = make("span", { className: "bar" });
    bar.style.width = `${share * 80}%`;
    const figure = make("span", { textContent: `${(share * 100).toFixed(1)} %` });
    return [make("dt", { textContent: text("layer")(number) }), make("dd", {}, [bar, figure])];
  }));
  find("gamma").textContent = text("gamma")(elmo.gamma.toFixed(2));
  find("layers").hidden = find("meanings").hidden = false;
}

function showTexts() {
  document.documentElement.lang = state.language === "zh" ? "zh-CN" : "en";
  document.querySelectorAll("[data-text]").forEach((element) => {
    element.textContent = text(element.dataset.text);
  });
  find("language").textContent = text("language");
  nameSentences();
  showTagged();
  showMeanings();
  showLayers();
  ["tag", "meanings"].forEach(showFailure);
}

const tag = () => run("tag", async () => {
  if (!find("tag-text").value.trim()) throw { code: "emptyText", error: text("emptyText") };
  const given = find("tag-text").value;
  const answer = await ask("tag", { texts: [given], confidence: true });
  [state.text, [state.tagged]] = [given, answer.results];
  showTagged();
});

const compare = () => run("meanings", async () => {
  const sentences = [...document.querySelectorAll("#sentences input")].map((input) => input.value);
  state.meanings = await ask("similar", {
    word: find("word").value.trim(), texts: sentences, layer: find("layer").value,
  });
  showMeanings();
});

function listen() {
  find("tag-form").addEventListener("submit", (event) => { event.preventDefault(); tag(); });
  find("tag-text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) tag();
  });
  find("meanings-form").addEventListener("submit", (event) => { event.preventDefault(); compare(); });
  find("layer").addEventListener("change", compare);
  find("add").addEventListener("click", () => addSentence().focus());
  find("language").addEventListener("click", () => {
    state.language = state.language === "zh" ? "en" : "zh";
    localStorage.setItem("language", state.language);
    showTexts();
  });
}

async function start() {
  const preferred = navigator.language.startsWith("zh") ? "zh" : "en";
  state.language = localStorage.getItem("language") || preferred;
  find("tag-text").value = EXAMPLES.text;
  find("word").value = EXAMPLES.word;
  EXAMPLES.sentences.forEach((sentence) => addSentence(sentence));
  showTexts();
  listen();
  await tag();
  if (state.model && state.model.elmo) await compare();
}

start();
