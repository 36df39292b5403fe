"""`lac serve` without a browser: answers, refusals, limits, slow clients, many at once, the end."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from starlette.testclient import TestClient

from bilm.errors import InputError
from lac import LAC
from lac.commands.serve import main
from lac.serving.address import listen
from lac.serving.answers import Answers, Word, WordNotFound
from lac.serving.app import create_app
from lac.serving.limits import Limits
from lac.serving.server import new_server
from tests.endurance.serving_load import measure
from tests.reference.refusals import refusal_of
from tests.reference.taggers import WORDS, small_bilm, trained

TEXT = "陈晨昨天在云溪大学读书，\n喜欢 薛定谔😀。"
IMPATIENT = Limits(read_seconds=0.5, answer_seconds=5, write_seconds=1, max_connections=30)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagger")
    return trained(folder, elmo=str(small_bilm(folder)), pieces="words")


@pytest.fixture(scope="module", params=["words", "pieces"])
def of_characters(request, tmp_path_factory):
    """Return the answers of a tagger of characters, whose ELMo reads words or characters."""
    folder = tmp_path_factory.mktemp("characters")
    bilm = str(small_bilm(folder))
    return Answers(trained(folder, elmo=bilm, elmo_reads=request.param, elmo_unknown="unk"))


@pytest.fixture(scope="module")
def answers(run):
    return Answers(run)


@pytest.fixture(scope="module")
def client(answers):
    return TestClient(create_app(answers), raise_server_exceptions=False)


@contextmanager
def server(app, limits):
    """Run the application as `lac serve` does; yield its port."""
    listener = listen("127.0.0.1", 0)
    running = new_server(app, limits)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        running.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def port(answers):
    with server(create_app(answers, IMPATIENT), IMPATIENT) as port:
        yield port


def test_tagged_words_are_those_of_the_library(client, run):
    found = client.post("/tag", json={"texts": [TEXT, ""]}).json()["results"]
    words, tags = LAC(run).run(TEXT)
    assert [word["text"] for word in found[0]] == words
    assert [word["tag"] for word in found[0]] == tags
    assert "".join(words) == TEXT
    known = {word["text"]: word["known"] for word in found[0]}
    assert known["喜欢"] and not known["薛定谔"] and known["云溪大学"]
    assert found[1] == []


def test_words_have_places_and_if_asked_for_confidences(client, run):
    plain = client.post("/tag", json={"texts": [TEXT]}).json()["results"][0]
    assert [TEXT[word["start"] : word["end"]] for word in plain] == [w["text"] for w in plain]
    assert all(set(word) == {"text", "tag", "start", "end", "known"} for word in plain)
    no = client.post("/tag", json={"texts": [TEXT], "confidence": False}).json()["results"][0]
    sure = client.post("/tag", json={"texts": [TEXT], "confidence": True}).json()["results"][0]
    assert no == plain == [
        {name: value for name, value in word.items() if name != "confidence"} for word in sure
    ]
    analysis, = LAC(run).analyse([TEXT], confidence=True)
    for word, value in zip(sure, analysis.confidences):
        assert word["confidence"] == (None if value is None else pytest.approx(value, abs=1e-5))
    assert None in analysis.confidences and any(analysis.confidences)
    refused = client.post("/tag", json={"texts": [TEXT], "confidence": "yes"})
    assert refused.status_code == 422 and "confidence" in refused.json()["error"]


def test_a_word_of_characters_is_known_if_its_characters_are(of_characters):
    (words,) = of_characters.tag(["我们喜欢饕餮。"])
    characters = set("".join(WORDS))
    assert [word.known for word in words] == [set(word.text) <= characters for word in words]
    assert {word.known for word in words} == {True, False}


def test_vectors_are_those_of_the_words_that_elmo_reads(of_characters):
    """The biLM knows words, and of characters those that are words."""
    lac = of_characters._lac
    units = lac.elmo_words("我们喜欢春天")
    (result,) = of_characters.embed(["我们 喜欢春天"], "top")
    assert result.words == units
    assert result.known == [unit in WORDS for unit in units]
    assert units == ["我们", "喜欢", "春天"] if lac.elmo_reads_words else units == [*"我们喜欢春天"]
    (layers,) = lac.layers([units])
    assert np.allclose(result.vectors, layers[-1], atol=1e-6)


def test_a_word_of_several_pieces_has_the_mean_of_their_vectors(of_characters):
    lac = of_characters._lac
    texts = ["我们 喜欢春天", "春天到了，花都开了。", "昨天春天"]
    found = of_characters.compare("春天", texts, "first")
    assert [words[place] for words, place in zip(found.sentences, found.positions)] == ["春天"] * 3
    assert [len("".join(words[:place])) for words, place in
            zip(found.sentences, found.positions)] == [4, 0, 2]
    pieces = ["春天"] if lac.elmo_reads_words else ["春", "天"]
    means = []
    for words, place in zip(found.sentences, found.positions):
        (layers,) = lac.layers([[*words[:place], *pieces, *words[place + 1 :]]])
        means.append(layers[1, place : place + len(pieces)].mean(axis=0))
    directions = means / np.linalg.norm(means, axis=1, keepdims=True)
    assert np.allclose(found.contextual, directions @ directions.T, atol=1e-6)
    assert np.allclose(found.static, 1, atol=1e-6)
    assert found.known == lac.elmo_reads_words  # no character of it is a word of the biLM
    blank = of_characters.compare(" ", ["我 们", "好 吗"])
    assert blank.sentences[0][blank.positions[0]] == " "


def test_vectors_are_those_of_the_biLM(client, run, answers):
    from bilm import Embedder
    from lac.model_folder import read_tagger

    found = client.post("/embed", json={"texts": ["我们喜欢春天"], "layer": "top"}).json()
    (result,) = found["results"]
    assert result["words"] == ["我们", "喜欢", "春天"]
    embedder = Embedder(read_tagger(run).elmo, unknown="characters")
    (layers,) = embedder.embed([result["words"]])
    assert np.allclose(result["vectors"], layers[-1], atol=2e-6)
    elmo = client.get("/model").json()["elmo"]
    mixed = client.post("/embed", json={"texts": ["我们喜欢春天"]}).json()["results"][0]["vectors"]
    expected = elmo["gamma"] * np.einsum("l,lwf->wf", elmo["shares"], layers)
    assert np.allclose(mixed, expected, atol=1e-3)


def test_meanings_are_cosines_of_the_word_alone(client, answers):
    texts = ["我们 喜欢 春天", "春天到了，花都开了。", "昨天春天"]
    found = client.post("/similar", json={"word": "春天", "texts": texts}).json()
    assert found["positions"] == [2, 0, 1]
    assert [words[place] for words, place in zip(found["sentences"], found["positions"])] == (
        ["春天"] * 3)
    vectors = [result.vectors[place] for result, place in
               zip(answers.embed(texts, "first"), found["positions"])]
    expected = np.array([[one @ other / np.linalg.norm(one) / np.linalg.norm(other)
                          for other in vectors] for one in vectors])
    assert np.allclose(found["contextual"], expected, atol=2e-6)
    assert np.allclose(found["static"], 1, atol=1e-6)
    points = np.array(found["points"])
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    true = np.linalg.norm(np.array(vectors)[:, None] - np.array(vectors)[None], axis=-1)
    assert np.allclose(apart, true, atol=1e-4)  # three points lie on a plane
    assert sum(found["explained"]) == pytest.approx(1, abs=1e-5)


def test_a_sentence_without_the_word_is_named(answers, client):
    with pytest.raises(WordNotFound, match="sentence 2 does not contain '春天'"):
        answers.compare("春天", ["春天", "夏天"])
    refused = client.post("/similar", json={"word": "春天", "texts": ["春天", "夏天"]})
    assert refused.status_code == 422
    assert refused.json()["code"] == "word_not_found" and refused.json()["found"] == 1


def test_a_tagger_without_elmo_has_no_vectors(tmp_path):
    client = TestClient(create_app(Answers(trained(tmp_path, max_epochs=2))))
    assert client.get("/model").json()["elmo"] is None
    assert client.post("/tag", json={"texts": ["春天"]}).status_code == 200
    assert client.post("/embed", json={"texts": ["春天"]}).status_code == 404


@pytest.mark.parametrize(("body", "status", "told"), [
    (b"{", 400, "the body is no JSON"),
    (b"", 422, "the body"),
    (b"[]", 422, "the body"),
    (b'{"texts": "x"}', 422, "texts: Input should be a valid list"),
    (b'{"texts": [1]}', 422, "texts[0]: Input should be a valid string"),
    (b'{"texts": [null]}', 422, "texts[0]"),
    (b'{"texts": []}', 422, "texts: List should have at least 1 item"),
    (b'{"texts": ["a"], "text": "b"}', 422, "text: Extra inputs"),
    (b'{"texts": ["\\ud800"]}', 422, "texts[0]"),
    (json.dumps({"texts": ["字" * 10_001]}, ensure_ascii=False).encode(), 422,
     "texts[0]: at most 10000 characters, found 10001"),
    (b'{"texts": ["' + b"x" * 150_000 + b'"]}', 413, "the body may have at most 145024 bytes"),
    (b'{"texts": ["a"], "' + b"y" * 9000 + b'\\n": 1}', 422, "'" + 40 * "y" + "'"),
    (b"[" * 60_000, 400, "the body"),
    (b"\xff\xfe", 400, "the body is no JSON"),
], ids=range(14))
def test_bad_bodies_are_refused_in_one_line(client, body, status, told):
    refused = client.post("/tag", content=body, headers={"content-type": "application/json"})
    assert refused.status_code == status
    failure = refused.json()
    assert told in failure["error"] and "\n" not in failure["error"] and failure["code"]
    assert len(failure["error"]) < 300


def test_a_body_must_be_said_to_be_json(client):
    for kind in ("application/x-www-form-urlencoded", "text/plain"):
        refused = client.post("/tag", content=b'{"texts": ["a"]}', headers={"content-type": kind})
        assert refused.status_code == 415
        assert "Content-Type: application/json" in refused.json()["error"]


def test_an_answer_has_a_largest_size(answers):
    client = TestClient(create_app(answers, Limits(max_numbers=30)))
    assert client.post("/embed", json={"texts": ["我们"]}).status_code == 200
    refused = client.post("/embed", json={"texts": ["我们喜欢春天"]})
    assert refused.status_code == 422
    assert refused.json() == {
        "code": "too_many_numbers", "limit": 30, "found": 36,
        "error": "the vectors would be 36 numbers, at most 30; send fewer words"}


def test_the_width_of_a_word_changes_nothing(client):
    results = client.post("/embed", json={"texts": ["春天！", "春天!"]}).json()["results"]
    assert [result["words"][1] for result in results] == ["！", "!"]
    assert results[0]["known"] == results[1]["known"] == [True, True]
    assert results[0]["vectors"] == results[1]["vectors"]


def test_other_paths_and_methods_are_refused_as_json(client, port):
    assert client.get("/tag").json() == {"code": "http_405", "error": "Method Not Allowed"}
    assert client.get("/nothing").status_code == 404
    for path in (b"/page/../app.py", b"/page/%2e%2e/app.py", b"/page//etc/passwd"):
        request = b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert exchange(port, request).startswith(b"HTTP/1.1 404")


def test_the_longest_text_is_answered(client):
    text = "我们喜欢春天。" * 1428
    found = client.post("/tag", json={"texts": [text]}).json()["results"][0]
    assert "".join(word["text"] for word in found) == text


def test_browsers_are_told_to_load_nothing_from_elsewhere(client):
    for path in ("/", "/docs", "/page/page.js", "/health"):
        response = client.get(path)
        assert response.status_code == 200
        assert "default-src 'self'" in response.headers["content-security-policy"]
        assert "https://" not in response.text or path == "/docs"
    assert "cdn" not in client.get("/docs").text


def test_what_fails_inside_is_no_traceback(answers, monkeypatch):
    def fail(_texts, _confidence):
        raise RuntimeError("secret")

    monkeypatch.setattr(answers, "tag", fail)
    client = TestClient(create_app(answers), raise_server_exceptions=False)
    failed = client.post("/tag", json={"texts": ["春天"]})
    assert failed.status_code == 500 and "secret" not in failed.text


def test_a_busy_server_says_so(answers, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(answers, "tag", lambda *_: release.wait(10) and [])
    limits = Limits(answer_seconds=0.5)
    with server(create_app(answers, limits), limits) as port, ThreadPoolExecutor(2) as pool:
        first = pool.submit(post, port, "/tag", {"texts": ["春天"]})
        time.sleep(0.2)
        second = pool.submit(post, port, "/tag", {"texts": ["春天"]})
        status, answer = second.result()
        release.set()
        assert (status, answer["code"]) == (503, "http_503")
        assert first.result()[0] == 200


def exchange(port, sent):
    """Return all that the server answers until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        received = b""
        with suppress(ConnectionResetError):
            while part := connection.recv(4096):
                received += part
    return received


def post(port, path, body):
    request = Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(),
                      {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except OSError as error:
        return error.code, json.load(error)


def test_many_clients_get_their_own_answers(port, run):
    texts = [f"小林{number}月去了青石镇。" for number in range(40)]
    expected = [words for words, _ in LAC(run).run(texts)]

    def ask(text):
        return post(port, "/tag", {"texts": [text]})

    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(ask, texts))
    assert [[word["text"] for word in answer["results"][0]] for _, answer in found] == expected


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "answer"), [
    (b"", b""),  # nothing at all
    (b"POST /tag HTT", b""),  # half a head
    (b"POST /tag HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{", b"HTTP/1.1 408"),
    (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nPOST /tag", b"HTTP/1.1 200"),  # and then half a head
])
def test_slow_clients_are_given_up(port, sent, answer):
    start = time.monotonic()
    received = exchange(port, sent)
    assert 0.3 < time.monotonic() - start < 7
    assert received.startswith(answer)
    if b"408" in answer:
        assert json.loads(received.split(b"\r\n\r\n")[1])["code"] == "timeout"


@pytest.mark.slow
def test_a_client_that_does_not_take_its_answer_is_given_up(answers, monkeypatch):
    word = Word("字" * 20_000_000, "n", 0, 20_000_000, True)
    monkeypatch.setattr(answers, "tag", lambda *_: [[word]])
    body = b'{"texts": ["a"]}'
    head = (b"POST /tag HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body))
    size = received = 60_000_000
    with server(create_app(answers, IMPATIENT), IMPATIENT) as port, (
        socket.create_connection(("127.0.0.1", port), timeout=10)
    ) as connection:
        connection.sendall(head + body)
        time.sleep(4)  # without reading
        received = 0
        with suppress(ConnectionResetError):
            while part := connection.recv(1 << 20):
                received += len(part)
    assert received < size / 2  # what the two systems held


def test_connections_beyond_the_limit_are_closed(answers):
    patient = Limits(read_seconds=30, max_connections=30)  # however slow the machine is
    with server(create_app(answers, patient), patient) as port:
        with ExitStack() as stack:
            for _ in range(30):
                stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            with suppress(OSError):
                assert exchange(port, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n") == b""
        time.sleep(0.7)
        assert post(port, "/tag", {"texts": ["春天"]})[0] == 200


def test_a_client_that_leaves_harms_nobody(port):
    for sent in (b"POST /tag HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{", b"\x00\xff" * 99):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(sent)
    assert post(port, "/tag", {"texts": ["春天"]})[0] == 200


def test_limits_must_be_positive():
    with pytest.raises(InputError, match="max_texts, read_seconds must be positive"):
        Limits(max_texts=0, read_seconds=-1)


def test_a_port_that_is_taken_is_told(run, capsys):
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        told = refusal_of(main, ["--model", str(run), "--port", str(port)], capsys)
    assert f"port {port}" in told and "--port" in told
    assert "from 0 to 65535" in refusal_of(main, ["--model", "x", "--port", "70000"], capsys)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("is_early", [False, True])
def test_a_signal_ends_the_server_well(run, number, is_early):
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "lac", "serve", "--model", str(run), "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    port = int(process.stdout.readline().split(" (")[0].rsplit(":", 1)[1])
    if not is_early:
        assert post(port, "/tag", {"texts": ["春天到了。"]})[0] == 200
    process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (0, "")


@pytest.mark.slow
def test_answers_are_those_of_the_schema(answers, tmp_path):
    """schemathesis sends what the server's own OpenAPI allows and what it does not."""
    limits = Limits()
    with server(create_app(answers, limits), limits) as port:
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "--config-file",
             str(Path(__file__).with_name("schemathesis.toml")), "run",
             f"http://127.0.0.1:{port}/openapi.json", "--max-examples", "40", "--no-color"],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
        )
    assert done.returncode == 0, done.stdout[-5000:]
    assert "Selected: 5/5" in done.stdout and "passed" in done.stdout


@pytest.mark.slow
def test_many_clients_without_an_error_or_growth(run):
    """A short form of what docs/serving.md has of 60 seconds."""
    seconds = float(os.environ.get("BILM_SERVING_SECONDS", "12"))
    found = measure(str(run), clients=50, seconds=seconds)
    assert (found["errors"], found["exit_status"]) == (0, 0), found
    assert found["requests"] > 50 * 3
    assert found["megabytes_grown"] < 10, found
