"""Settings to engines: what is built, what is refused, and that building loads no heavy library."""

import subprocess
import sys

import pytest

from serve_app.domain.errors import BadRequest, ConfigError, ModelError, Overloaded, Unavailable
from serve_app.domain.language import ChatMessage, Generation
from serve_app.inference.echo import EchoModel
from serve_app.inference.embed_hash import HashEmbedder
from serve_app.inference.embed_torch import TorchEmbedder
from serve_app.inference.factory import build_embedder, build_language_model
from serve_app.inference.generation import check_generation, overloaded
from serve_app.inference.llamacpp import LlamaCppModel
from serve_app.inference.machine import cores, has_bfloat16
from serve_app.inference.templates import PLAIN
from serve_app.inference.vllm import VllmModel
from serve_app.inference.weights import ModelFile
from serve_app.settings import EmbedderSettings, LLMSettings, Settings

HELLO = (ChatMessage("user", "hello"),)


def test_fakes_are_built_by_name(tmp_path):
    settings = Settings(
        home=tmp_path, llm=LLMSettings(engine="echo"), embedder=EmbedderSettings(backend="hash")
    )
    assert isinstance(build_language_model(settings), EchoModel)
    assert isinstance(build_embedder(settings), HashEmbedder)


def test_without_weights_the_sentence_says_how_to_get_them(tmp_path):
    with pytest.raises(ModelError, match=r"Run `python -m serve_app\.inference\.weights`"):
        build_language_model(Settings(home=tmp_path))
    with pytest.raises(ModelError, match="not set up"):
        build_embedder(Settings(home=tmp_path))


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"llm\.engine"):
        build_language_model(Settings(home=tmp_path, llm=LLMSettings(engine="gpt")))
    with pytest.raises(ConfigError, match=r"embedder\.backend"):
        build_embedder(Settings(home=tmp_path, embedder=EmbedderSettings(backend="onnx")))
    with pytest.raises(ConfigError, match=r"embedder\.dtype"):
        TorchEmbedder(tmp_path, EmbedderSettings(dtype="int8"))


def test_importing_the_factory_loads_no_heavy_library():
    code = (
        "import sys, serve_app.inference.factory as f; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'llama_cpp', 'transformers', 'vllm')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_vllm_without_the_package_says_what_to_install(tmp_path):
    model = build_language_model(Settings(home=tmp_path, llm=LLMSettings(engine="vllm")))
    assert isinstance(model, VllmModel)
    assert await model.name() == "TinyLlama-1.1B-Chat-v1.0"
    assert not await model.healthy()
    with pytest.raises(ConfigError, match="extra `gpu`"):
        await model.start()
    with pytest.raises(Unavailable):
        await anext(model.stream(Generation(HELLO)))
    await model.close()


async def test_engines_that_are_not_started_are_unavailable(tmp_path):
    model = LlamaCppModel(ModelFile(tmp_path / "x", "x", PLAIN), LLMSettings())
    assert not await model.healthy()
    with pytest.raises(Unavailable):
        await anext(model.stream(Generation(HELLO)))
    await model.close()
    embedder = TorchEmbedder(tmp_path, EmbedderSettings())
    assert not await embedder.healthy()
    with pytest.raises(Unavailable):
        await embedder.embed(["x"])
    await embedder.close()


async def test_weights_are_refused_before_they_are_parsed(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF something else")
    model = LlamaCppModel(ModelFile(path, "x", PLAIN, "0" * 64), LLMSettings())
    with pytest.raises(ModelError, match="not loaded"):
        await model.start()
    assert not await model.healthy()
    await model.close()
    (tmp_path / "model.safetensors").write_bytes(b"other")
    embedder = TorchEmbedder(tmp_path, EmbedderSettings(), {"model.safetensors": "0" * 64})
    with pytest.raises(ModelError, match="not loaded"):
        await embedder.start()
    await embedder.close()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0),
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("repeat_penalty", 0.0),
        ("seed", -1),
        ("seed", 2**32),
        ("stop", ("",)),
        ("stop", ("x",) * 17),
        ("stop", ("x" * 201,)),
    ],
)
def test_odd_requests_name_the_field(field, value):
    with pytest.raises(BadRequest) as refused:
        check_generation(Generation(HELLO, **{field: value}))
    assert refused.value.field == field


def test_retry_after_grows_with_the_queue():
    assert isinstance(overloaded(0, 8, 5.0), Overloaded)
    assert overloaded(0, 8, 0.1).retry_after == 1.0
    assert overloaded(31, 8, 5.0).retry_after == 20.0


def test_machine(tmp_path):
    assert cores() >= 1
    info = tmp_path / "cpuinfo"
    info.write_text("flags : avx512f avx512_bf16 sse")
    assert has_bfloat16(info)
    info.write_text("flags : avx2")
    assert not has_bfloat16(info)
    assert not has_bfloat16(tmp_path / "none")


async def test_hash_embedder_puts_texts_that_share_words_near_each_other():
    embedder = HashEmbedder()
    near, far, base = await embedder.embed(
        ["add a new website today", "quantum physics lecture notes", "Add a new website"]
    )
    assert base @ near > 0.6 > 0.5 > base @ far
