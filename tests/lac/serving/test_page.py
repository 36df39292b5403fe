"""The page of `lac serve` in a real browser, against a real server with the sample model.

BILM_CHROMIUM names the browser; without it Debian's chromium is used. A missing browser fails.
BILM_SCREENSHOTS names a folder for the pictures of README.md and docs/serving.md.
"""

import os
import re
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from playwright.sync_api import expect, sync_playwright

from tests.endurance.serving_load import serving
from tests.reference.taggers import small_bilm, trained

CHROMIUM = os.environ.get("BILM_CHROMIUM", "/usr/bin/chromium")
SCREENSHOTS = os.environ.get("BILM_SCREENSHOTS")
DESKTOP, PHONE = {"width": 1100, "height": 900}, {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def address():
    with serving("sample") as (process, port):
        yield f"http://127.0.0.1:{port}"
    assert process.returncode == 0


@pytest.fixture(scope="module")
def address_of_characters(tmp_path_factory):
    """Serve a tagger that decides itself what words are; its ELMo reads characters, too."""
    folder = tmp_path_factory.mktemp("tagger")
    run = trained(folder, elmo=str(small_bilm(folder)), elmo_reads="pieces")
    with serving(str(run)) as (_, port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def browser():
    if not Path(CHROMIUM).exists():
        pytest.fail(f"no browser at {CHROMIUM}: apt-get install chromium, or set BILM_CHROMIUM")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture
def open_page(browser, address):
    """Return a function that opens the page; nothing that the browser complains of passes."""
    contexts, complaints = [], []

    def open_(language="zh-CN", address=address, **settings):
        context = browser.new_context(locale=language, **{"viewport": DESKTOP, **settings})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text)
                if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url)
                if not request.url.startswith((address, "data:")) else None)
        page.goto(address)
        expect(page.locator("#tag-result")).to_be_visible()
        expect(page.locator("#meanings-result")).to_be_visible()
        return page

    yield open_
    for context in contexts:
        context.close()
    # a refused request is a line in the browser's console, too
    assert [text for text in complaints if "Failed to load resource" not in text] == []


def picture(of, name, **settings):
    """Write a picture of a page or of a part of it, if pictures are asked for."""
    if SCREENSHOTS:
        of.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", **settings)


def words_of(page):
    return page.locator("#tagged .word > span").all_inner_texts()


def colour_of(locator):
    return locator.evaluate("element => getComputedStyle(element).backgroundColor")


def contrast_of(locator):
    """Return the contrast of an element's text to what is behind it, as WCAG 2 defines it."""
    return locator.evaluate("""element => {
        const canvas = document.createElement("canvas").getContext(
            "2d", { willReadFrequently: true });
        const light = (colours) => {
            canvas.clearRect(0, 0, 1, 1);
            for (const colour of colours) {
                canvas.fillStyle = colour;
                canvas.fillRect(0, 0, 1, 1);
            }
            const parts = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((value) => {
                const share = value / 255;
                return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
            });
            return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
        };
        const behind = [];
        for (let above = element; above; above = above.parentElement) {
            if (getComputedStyle(above).opacity !== "1") return 0;  // not computed here
            behind.unshift(getComputedStyle(above).backgroundColor);
        }
        const own = light([...behind, getComputedStyle(element).color]);
        const other = light(behind);
        return (Math.max(own, other) + 0.05) / (Math.min(own, other) + 0.05);
    }""")


def test_text_becomes_coloured_words(open_page):
    page = open_page()
    page.fill("#tag-text", "张伟昨天从上海飞往北京。")
    page.click("text=分析")
    expect(page.locator("#tagged")).to_contain_text("张")  # not the example any more
    assert "".join(words_of(page)) == "张伟昨天从上海飞往北京。"
    place = page.locator(".word", has_text="上海")
    expect(place).to_have_class(re.compile("place"))
    assert colour_of(place) != colour_of(page.locator(".word", has_text="。"))
    expect(place).to_have_attribute("title", re.compile("地名"))
    expect(page.locator("#legend")).to_contain_text("ns 地名 × 2")


def test_words_unknown_to_the_model_are_marked(open_page):
    page = open_page()
    page.fill("#tag-text", "我们喜欢饕餮。")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#tagged .unknown")).to_have_text("饕餮")
    expect(page.locator("#legend")).to_contain_text("模型不认识的词")
    page.fill("#word", "饕餮")
    for number in (1, 2, 3, 4):
        page.get_by_label(f"句子 {number}", exact=True).fill(f"饕餮来了{number}次")
    page.click("text=比较")
    expect(page.locator("#meanings-summary")).to_contain_text("模型不认识“饕餮”")


def test_doubtful_words_are_marked(open_page):
    page = open_page()
    words = [("😀看", 0.2), ("来", 0.5), (" ", None), ("小川", 0.498), ("。", 1.0)]
    ends = [2, 3, 4, 6, 7]
    answer = {"results": [[
        {"text": word, "tag": "v", "start": start, "end": end, "known": word != "来",
         "confidence": value}
        for (word, value), start, end in zip(words, [0, *ends], ends)
    ]]}
    page.route("**/tag", lambda route: route.fulfill(json=answer))
    page.fill("#tag-text", "😀看来 小川。")
    page.click("text=分析")
    expect(page.locator("#tagged .doubtful")).to_have_text(["😀看", "小川"])
    expect(page.locator("#tagged .unknown")).to_have_text(["来"])
    wave = "element => getComputedStyle(element).textDecorationStyle"
    assert page.locator("#tagged .doubtful").first.evaluate(wave) == "wavy"
    titles = [word.get_attribute("title") for word in page.locator("#tagged .word").all()]
    assert titles == [
        "动词; 概率 20 %", "动词; 概率 50 %; 模型不认识的词", "动词; 概率 49 %", "动词; 概率 100 %",
    ]
    expect(page.locator("#legend .doubtful")).to_have_text("模型没有把握的词（概率低于 50 %）")
    page.click("#language")
    expect(page.locator("#legend .doubtful")).to_contain_text("words that the model doubts")
    page.unroute("**/tag")
    page.fill("#tag-text", "我们。")
    page.click("text=Analyse")
    expect(page.locator("#tagged .word").first).to_have_attribute(
        "title", re.compile(r"pronoun; (9[5-9]|100) % probable"))
    expect(page.locator("#legend .doubtful")).to_have_count(0)


def test_words_of_a_tagger_of_characters_are_shown(open_page, address_of_characters):
    page = open_page(address=address_of_characters)
    page.fill("#tag-text", "😀小林 去了\n青石镇。")
    page.click("text=分析")
    expect(page.locator("#tagged .place > span")).to_have_text("青石镇")
    assert "".join(words_of(page)) == "😀小林去了青石镇。"
    assert page.locator("#tagged").evaluate(
        "element => [...element.childNodes].map((node) => node.firstChild"
        " ? node.firstChild.textContent : node.textContent).join('')"
    ) == "😀小林 去了\n青石镇。"
    page.fill("#word", "春天")
    for number in (1, 2, 3, 4):
        page.get_by_label(f"句子 {number}", exact=True).fill(f"春天来了{number}次")
    page.click("text=比较")
    expect(page.locator("#cut li").first).to_have_text("春天 / 来 / 了 / 1 / 次")
    expect(page.locator("#cut mark").first).to_have_text("春天")


def test_text_is_never_html(open_page):
    page = open_page()
    page.fill("#tag-text", "<img src=x onerror=alert(1)>你好")
    page.click("text=分析")
    expect(page.locator("#tagged")).to_contain_text("onerror")
    assert page.locator("#tagged img").count() == 0


def test_a_sentence_is_added_to_the_meanings(open_page):
    page = open_page()
    expect(page.locator("#contextual tr")).to_have_count(5)
    page.click("text=添加句子")
    page.keyboard.type("他买了两斤苹果")  # the new line has the focus
    page.click("text=比较")
    expect(page.locator("#contextual tr")).to_have_count(6)
    expect(page.locator("#map circle")).to_have_count(5)
    expect(page.locator("#map title").last).to_have_text("…了两斤苹果")
    assert set(page.locator("#static td:not(:first-child)").all_inner_texts()[5:]) == {"1.00"}
    values = [[float(cell) for cell in row.locator("td").all_inner_texts()]
              for row in page.locator("#contextual tr").all()[1:]]
    fruit, phone, other_fruit, other_phone, added = range(5)
    assert min(values[fruit][other_fruit], values[phone][other_phone]) > max(
        values[one][other] for one in (fruit, other_fruit) for other in (phone, other_phone))
    assert values[added][fruit] > values[added][phone]  # it is the fruit
    expect(page.locator("#cut li").last).to_have_text("他 / 买 / 了 / 两斤 / 苹果")
    expect(page.locator("#cut mark").last).to_have_text("苹果")
    page.locator("#sentences button").last.click()
    expect(page.locator("#sentences li")).to_have_count(4)


def test_too_long_a_text_is_told(open_page):
    page = open_page()
    page.fill("#tag-text", "字" * 20_000)
    page.click("text=分析")
    expect(page.locator("#tag-error")).to_have_text("文本太长：最多 10000 个字，这里有 20000 个。")
    page.click("#language")
    page.click("text=Analyse")
    expect(page.locator("#tag-error")).to_contain_text("at most 10000 characters, found 20000")
    expect(page.locator("#tag-result")).to_be_hidden()
    page.fill("#tag-text", "好")
    page.click("text=Analyse")
    expect(page.locator("#tag-error")).to_be_hidden()
    page.fill("#tag-text", " ")
    page.click("text=Analyse")
    expect(page.locator("#tag-error")).to_have_text("Please enter a text.")


def test_a_sentence_without_the_word_is_told(open_page):
    page = open_page("en-GB")
    page.get_by_label("Sentence 2", exact=True).fill("香蕉")
    page.click("text=Compare")
    expect(page.locator("#meanings-error")).to_have_text("Sentence 2 does not contain the word.")


def test_the_layers_shares_are_shown(open_page):
    page = open_page("en-GB")
    shares = [float(text.split(" ")[0]) for text in
              page.locator("#shares dd span:last-child").all_inner_texts()]
    assert len(shares) == 3 and sum(shares) == pytest.approx(100, abs=0.2)
    widths = [bar.bounding_box()["width"] for bar in page.locator(".bar").all()]
    assert sorted(range(3), key=lambda n: widths[n]) == sorted(range(3), key=lambda n: shares[n])


def test_the_language_of_an_error_changes_with_the_page(open_page):
    page = open_page()
    page.get_by_label("句子 2", exact=True).fill("香蕉")
    page.click("text=比较")
    expect(page.locator("#meanings-error")).to_have_text("第 2 个句子里没有这个词。")
    page.click("#language")
    expect(page.locator("#meanings-error")).to_have_text("Sentence 2 does not contain the word.")


def test_what_is_no_json_is_an_error_too(open_page):
    page = open_page()
    page.route("**/tag", lambda route: route.fulfill(status=502, body="Bad Gateway"))
    page.click("text=分析")
    expect(page.locator("#tag-error")).to_have_text("HTTP 502")
    page.unroute("**/tag")
    page.click("text=分析")
    expect(page.locator("#tag-error")).to_be_hidden()


def test_sentences_end_where_the_server_ends(open_page):
    page = open_page()
    for _ in range(20):
        page.click("#add")
    expect(page.locator("#sentences li")).to_have_count(24)
    expect(page.locator("#add")).to_be_disabled()


def test_both_languages(open_page):
    page = open_page("en-GB")
    expect(page.locator("h2").first).to_have_text("Words and tags")
    page.click("#language")
    expect(page.locator("h2").first).to_have_text("分词与标注")
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    expect(page.locator("#legend")).to_contain_text("地名")
    page.reload()
    expect(page.locator("h2").first).to_have_text("分词与标注")


def test_the_keyboard_alone_is_enough(open_page):
    page = open_page()
    reached = []
    for _ in range(16):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(
            "document.activeElement.id || document.activeElement.getAttribute('aria-label')"
            " || document.activeElement.textContent"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", reached
    assert reached == [
        "接口文档", "language", "tag-text", "分析",
        "word", "layer", "句子 1", "删除: 句子 1", "句子 2", "删除: 句子 2",
        "句子 3", "删除: 句子 3", "句子 4", "删除: 句子 4", "add", "比较",
    ]
    page.focus("#sentences input >> nth=0")
    page.keyboard.press("Control+A")
    page.keyboard.type("孩子吃苹果")
    page.keyboard.press("Enter")
    expect(page.locator("#map title").first).to_have_text("孩子吃苹果")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read(open_page, scheme):
    page = open_page(color_scheme=scheme)
    page.fill("#tag-text", "昨天下午，小川在上海的人民法院门口买了两斤苹果，觉得新买的手机真好。")
    page.click("text=分析")
    expect(page.locator("#tagged")).to_contain_text("手机")
    dark = scheme == "dark"
    background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (background == "rgb(18, 22, 28)") == dark
    for selector in ("h1", "#tag-text", ".word > span", ".word small", "#legend li", "label",
                     "#contextual td", "button:enabled", "figcaption", "header p"):
        for element in page.locator(selector).all():
            assert contrast_of(element) >= 4.5, (selector, element.inner_text())
    picture(page, "page" if scheme == "light" else "page-dark", full_page=True)
    if scheme == "light":
        picture(page.locator("section").first, "tagged")


def test_a_phone_shows_everything(open_page):
    page = open_page(viewport=PHONE, has_touch=True)
    page.fill("#tag-text", "好" * 300)
    page.click("text=分析")
    expect(page.locator("#tagged")).to_contain_text("好")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.fill("#tag-text", "昨天下午，小川在上海买了两斤苹果。")
    page.tap("text=分析")
    expect(page.locator("#tagged")).to_contain_text("小川")
    picture(page, "page-phone", full_page=True)


def test_chinese_is_drawn_in_a_chinese_font(open_page):
    """Boxes that stand for missing glyphs all look the same; characters do not."""
    page = open_page()
    drawn = page.evaluate("""() => ["分", "词", "\\u{10ffff}", "\\u{10fffe}"].map((text) => {
        const canvas = document.createElement("canvas");
        const context = canvas.getContext("2d");
        context.font = `40px ${getComputedStyle(document.documentElement).fontFamily}`;
        context.fillText(text, 5, 45);
        return canvas.toDataURL();
    })""")
    assert len(set(drawn[:2])) == 2 and drawn[0] not in drawn[2:]


def test_the_interface_is_documented_without_the_internet(open_page, address):
    page = open_page()
    page.click("text=接口文档")
    expect(page.locator(".opblock-summary-path")).to_have_count(5)
    assert page.url == f"{address}/docs"
