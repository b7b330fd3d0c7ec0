"""Models: what headwater.toml may say, and who answers to which name."""

import asyncio
import os
import re
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest

from headwater.core.run import RunRequest
from headwater.errors import ConfigError, UnknownModel
from headwater.providers.base import Provider, Step
from headwater.providers.catalog import Catalog, Model, build_catalog, discover
from headwater.providers.models_file import (
    FILE_BYTES_MAX,
    ModelsFile,
    ModelSpec,
    Table,
    check_base_url,
    check_continuation,
    parse_models,
    read_models,
)

pytestmark = pytest.mark.anyio

ENVIRON = {"FAST_KEY": "sk-very-secret", "EMPTY": ""}

WHOLE = """
default = "fast"

[models.fast]
provider = "openai"
base_url = "http://127.0.0.1:11434/v1"
model = "llama3.2"
api_key = "env:FAST_KEY"
headers = { X-Team = "blue", X-Token = "env:FAST_KEY" }
fallbacks = ["rag", "demo"]
continuation = "vllm"
restart = true
token_limit_field = "max_completion_tokens"
include_usage = false
first_token_timeout_s = 20
idle_timeout_s = 2.5

[models.rag]
provider = "python:myapp.answers:answer"

[models."llama3.2"]
provider = "openai"
base_url = "https://models.example/v1"
"""


class Named(Provider):
    """Answers nothing; knows what it was made of."""

    def __init__(self, made_of: str) -> None:
        self.made_of = made_of
        self.closed = 0

    async def generate(self, request: RunRequest) -> AsyncGenerator[list[Step], None]:
        for _ in ():
            yield []

    async def close(self) -> None:
        self.closed += 1


FACTORIES = {kind: lambda spec: Named(spec.name) for kind in ("openai", "anthropic", "ollama", "demo", "python")}


def parse(text: str) -> ModelsFile:
    return parse_models(text, source="headwater.toml", environ=ENVIRON)


def made_of(catalog: Catalog, name: str | None) -> str:
    provider = catalog.get(name).provider
    assert isinstance(provider, Named)
    return provider.made_of


# -- what the file may say


def test_every_key_of_a_model_is_understood() -> None:
    file = parse(WHOLE)
    fast, rag, llama = file.models
    assert file.default == "fast"
    assert (fast.name, fast.kind, fast.upstream_model) == ("fast", "openai", "llama3.2")
    assert fast.base_url == "http://127.0.0.1:11434/v1"
    assert str(fast.api_key) == "sk-very-secret"
    assert {name: str(value) for name, value in fast.headers.items()} == {"X-Team": "blue", "X-Token": "sk-very-secret"}
    assert (fast.fallbacks, fast.continuation, fast.restart) == (("rag", "demo"), "vllm", True)
    assert (fast.token_limit_field, fast.include_usage) == ("max_completion_tokens", False)
    assert (fast.first_token_timeout_s, fast.idle_timeout_s) == (20.0, 2.5)
    assert (rag.kind, rag.provider, rag.restart) == ("python", "python:myapp.answers:answer", False)
    assert (llama.token_limit_field, llama.include_usage) == ("max_tokens", True)
    assert (llama.upstream_model, llama.api_key, llama.continuation) == ("llama3.2", None, "none")


def test_three_kinds_of_servers_have_what_is_theirs() -> None:
    file = parse(
        f"[models.a]\n{ANTHROPIC}model = 'm'\napi_key = 'k'\nheaders = {{ X = 'y' }}\nmax_output_tokens = 5\n"
        f"[models.o]\n{OLLAMA}model = 'm'\ncontinuation = 'none'"
    )
    claude, llama = file.models
    assert (claude.kind, claude.base_url, claude.upstream_model, claude.continuation, claude.max_output_tokens) == (
        "anthropic",
        "http://h",
        "m",
        "trailing",
        5,
    )
    assert (llama.kind, llama.upstream_model, llama.continuation, llama.max_output_tokens) == (
        "ollama",
        "m",
        "none",
        None,
    )


def test_every_models_file_in_the_documentation_is_a_good_one() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    examples = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    assert len(examples) >= 2
    for example in examples:
        file = parse_models(example, source="docs/models.md", environ={"CLEVER_KEY": "sk-1", "CAREFUL_KEY": "sk-2"})
        assert build_catalog(file, FACTORIES, demo=Named("demo")).default == file.default


def test_every_key_of_a_model_is_documented() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    for key in msgspec.structs.fields(Table):
        assert f"| `{key.name}` |" in guide


def test_an_empty_file_is_a_file_without_models() -> None:
    assert parse("") == ModelsFile("headwater.toml")


OPENAI = 'provider = "openai"\nbase_url = "http://h/v1"\n'
ANTHROPIC = 'provider = "anthropic"\nbase_url = "http://h"\n'
OLLAMA = 'provider = "ollama"\nbase_url = "http://h"\n'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x = ", "headwater.toml: is not TOML: Invalid value (at end of document)"),
        ("a = 1\n= 2", "headwater.toml: is not TOML: Invalid statement (at line 2, column 1)"),
        ("defualt = 'x'", "headwater.toml: defualt: is not known here; known are default, models"),
        ("default = 3", "headwater.toml: default: Expected `str | null`, got `int`"),
        ("models = 3", "headwater.toml: models: Expected `object`, got `int`"),
        ("[models]\nfast = 3", "headwater.toml: models.fast: Expected `object`, got `int`"),
        ("[models.a]", "headwater.toml: models.a.provider: is required"),
        ("[models.a]\nprovider = 3", "headwater.toml: models.a.provider: Expected `str`, got `int`"),
        (
            '[models.a]\nprovider = "antropic"',
            'models.a.provider: Expected "openai", "anthropic", "ollama", "demo" or "python:',
        ),
        ('[models.a]\nprovider = "anthropic"', 'base_url: is required with provider = "anthropic", such as "https://'),
        ('[models.a]\nprovider = "ollama"', 'base_url: is required with provider = "ollama", such as "http://'),
        (f"[models.a]\n{OLLAMA}token_limit_field = 'max_completion_tokens'", 'belongs to provider = "openai" only'),
        (f"[models.a]\n{OLLAMA}include_usage = false", 'include_usage: belongs to provider = "openai" only'),
        (f"[models.a]\n{OLLAMA}token_limit_field = 'max_tokens'", 'belongs to provider = "openai" only'),
        (f"[models.a]\n{OLLAMA}include_usage = true", 'include_usage: belongs to provider = "openai" only'),
        ('[models.a]\nprovider = "demo"\ncontinuation = "none"', "continuation: belongs to provider = "),
        (f"[models.a]\n{OLLAMA}max_output_tokens = 5", 'max_output_tokens: belongs to provider = "anthropic" only'),
        (f"[models.a]\n{ANTHROPIC}max_output_tokens = 0", "models.a.max_output_tokens: Expected `int` >= 1"),
        ('[models.a]\nprovider = "python:mod"', '"ollama", "demo" or "python:package.module:function"'),
        ('[models.a]\nprovider = "python:my mod:f"', "models.a.provider: Expected"),
        ('[models.a]\nprovider = "openai"', "models.a.base_url: is required with"),
        ('[models.a]\nprovider = "openai"\nbase_url = "h/v1"', "models.a.base_url: must be an http:// or https://"),
        ('[models.a]\nprovider = "openai"\nbase_url = "ftp://h"', "models.a.base_url: must be an http:// or https://"),
        ('[models.a]\nprovider = "openai"\nbase_url = "http://h:x"', "models.a.base_url: is not a URL"),
        ('[models.a]\nprovider = "openai"\nbase_url = "http://h/?k=sk-1"', "models.a.base_url: must end with its path"),
        ('[models.a]\nprovider = "openai"\nbase_url = "http://u:sk-1@h"', "models.a.base_url: must hold no user name"),
        (
            f"[models.a]\n{OPENAI}api_keys = 'sk-1'",
            "models.a.api_keys: is not known here; known are provider, base_url",
        ),
        (f"[models.a]\n{OPENAI}api_key = ['sk-1']", "models.a.api_key: Expected `str | null`, got `array`"),
        (f"[models.a]\n{OPENAI}api_key = 'sk-1\\n'\napi_key = 1", "is not TOML"),
        (f'[models.a]\n{OPENAI}api_key = "sk-1\\n"', "models.a.api_key: is empty, or has characters"),
        (f'[models.a]\n{OPENAI}api_key = ""', "models.a.api_key: is empty, or has characters"),
        (f"[models.a]\n{OPENAI}api_key = 'env:NONE'", "models.a.api_key: the environment variable NONE is not set"),
        (f"[models.a]\n{OPENAI}api_key = 'env:EMPTY'", "models.a.api_key: the environment variable EMPTY is not set"),
        (f'[models.a]\n{OPENAI}headers = {{ "a b" = "sk-1" }}', "models.a.headers.a b: cannot be sent"),
        (f'[models.a]\n{OPENAI}headers = {{ X = "sk-1\\r\\nY: 1" }}', "models.a.headers.X: cannot be sent"),
        (f"[models.a]\n{OPENAI}headers = {{ X = 'env:NONE' }}", "models.a.headers.X: the environment variable NONE"),
        (f"[models.a]\n{OPENAI}continuation = 'magic'", "continuation: Expected one of vllm, prefix, trailing, none"),
        (f"[models.a]\n{OLLAMA}continuation = 'vllm'", 'must be trailing or none with provider = "ollama"'),
        (f"[models.a]\n{ANTHROPIC}continuation = 'prefix'", 'must be trailing or none with provider = "anthropic"'),
        (f"[models.a]\n{OPENAI}restart = 'yes'", "models.a.restart: Expected `bool`, got `str`"),
        (f"[models.a]\n{OPENAI}fallbacks = 'demo'", "models.a.fallbacks: Expected `array`, got `str`"),
        (f"[models.a]\n{OPENAI}fallbacks = ['a']", "models.a.fallbacks: names 'a' twice, or for itself"),
        (f"[models.a]\n{OPENAI}fallbacks = ['demo', 'demo']", "models.a.fallbacks: names 'demo' twice"),
        (f"[models.a]\n{OPENAI}idle_timeout_s = 0", "models.a.idle_timeout_s: Expected `float` > 0.0"),
        (f"[models.a]\n{OPENAI}first_token_timeout_s = '9'", "models.a.first_token_timeout_s: Expected `float | null`"),
        (
            '[models.a]\nprovider = "demo"\napi_key = "sk-1"',
            'models.a.api_key: belongs to provider = "openai" or "anth',
        ),
        ('[models.a]\nprovider = "python:m:f"\nmodel = "x"', 'models.a.model: belongs to provider = "openai" or "anth'),
        ('[models."a\\nb"]\nprovider = "demo"', "a model's name has 1 to 256 printable characters"),
        ('[models.""]\nprovider = "demo"', "a model's name has 1 to 256 printable characters"),
        ("x = " + "[" * 5_000, "headwater.toml: is nested too deeply"),
    ],
)
def test_what_is_wrong_with_the_file_is_one_line_naming_model_and_key_and_no_secret(text: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    message = str(caught.value)
    assert message.startswith("headwater.toml: ")
    assert line in message
    assert "\n" not in message
    assert "sk-1" not in message


def test_an_address_from_elsewhere_is_held_to_the_same_rules() -> None:
    check_base_url("https://models.example:8443/v1", "OPENAI_BASE_URL")
    with pytest.raises(ConfigError, match=r"^OPENAI_BASE_URL: must hold no user name"):
        check_base_url("http://user:sk-1@h/v1", "OPENAI_BASE_URL")


def test_how_listed_models_continue_is_one_word() -> None:
    assert [check_continuation(word, "OPENAI_CONTINUATION") for word in ("vllm", "none", "")] == [
        "vllm",
        "none",
        "none",
    ]
    with pytest.raises(ConfigError, match="^OPENAI_CONTINUATION: must be none or vllm or prefix or trailing$"):
        check_continuation("VLLM", "OPENAI_CONTINUATION")


def test_secrets_are_not_in_the_repr() -> None:
    assert "sk-very-secret" not in repr(parse(WHOLE))


def test_a_file_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "headwater.toml"
    with pytest.raises(ConfigError, match=r"headwater\.toml: cannot be read: No such file"):
        read_models(path, {})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_models(tmp_path, {})
    path.write_bytes(b"default = '\xff'")
    with pytest.raises(ConfigError, match=r"headwater\.toml: is not UTF-8 text \(byte 11\)"):
        read_models(path, {})
    os.truncate(path, FILE_BYTES_MAX + 1)
    with pytest.raises(ConfigError, match=r"headwater\.toml: is larger than"):
        read_models(path, {})
    path.write_text(WHOLE)
    assert [spec.name for spec in read_models(path, ENVIRON).models] == ["fast", "rag", "llama3.2"]


# -- who answers to which name


def test_the_demo_is_always_there_and_the_default_unless_the_file_says_otherwise() -> None:
    alone = build_catalog(None, FACTORIES, demo=Named("demo"))
    assert (alone.default, alone.names(), made_of(alone, None)) == ("demo", ["demo"], "demo")
    configured = build_catalog(parse(WHOLE), FACTORIES, demo=Named("demo"))
    assert configured.names() == ["fast", "rag", "llama3.2", "demo"]
    assert made_of(configured, None) == "fast"
    assert made_of(configured, "demo") == "demo"


def test_a_model_carries_what_the_file_says_about_it() -> None:
    provider = Named("it")
    catalog = build_catalog(parse(WHOLE), FACTORIES | {"openai": lambda spec: provider}, demo=Named("demo"))
    assert catalog.get("fast") == Model("fast", provider, 20.0, 2.5, ("rag", "demo"), restart=True)
    assert catalog.get("demo").first_token_timeout_s is None


def test_file_and_code_come_before_what_an_upstream_lists() -> None:
    file = parse('default = "big"\n[models.fast]\nprovider = "demo"')
    catalog = build_catalog(
        file,
        FACTORIES,
        demo=Named("built-in"),
        providers={"mine": Named("code")},
        discovered={name: Named("listed") for name in ("fast", "mine", "demo", "big")},
    )
    assert [made_of(catalog, name) for name in ("fast", "mine", "demo", "big")] == [
        "fast",
        "code",
        "built-in",
        "listed",
    ]
    assert made_of(catalog, None) == "listed"


def test_code_may_replace_the_demo() -> None:
    assert made_of(build_catalog(None, {}, demo=Named("demo"), providers={"demo": Named("code")}), None) == "code"


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownModel) as caught:
        build_catalog(parse(WHOLE), FACTORIES, demo=Named("demo")).get("gpt-9")
    assert caught.value.detail == "There is no model 'gpt-9' here. Known are fast, rag, llama3.2, demo."
    assert caught.value.field == "model"


def test_a_long_list_and_a_long_name_are_shortened() -> None:
    many = build_catalog(None, {}, demo=Named("demo"), discovered={f"m{n}": Named("") for n in range(300)})
    with pytest.raises(UnknownModel) as caught:
        many.get("x" * 256)
    assert caught.value.detail.endswith("m18 and 281 more.")
    assert len(caught.value.detail) < 300


def test_any_other_name_passes_where_that_is_allowed_and_is_not_remembered() -> None:
    catalog = build_catalog(None, {}, demo=Named("demo"), any_model=Named)
    assert made_of(catalog, "gpt-9") == "gpt-9"
    assert made_of(catalog, "demo") == "demo"
    assert catalog.names() == ["demo"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            'default = "fats"\n[models.fast]\nprovider = "demo"',
            "default: there is no model 'fats'; known are fast, demo",
        ),
        (
            '[models.a]\nprovider = "demo"\nfallbacks = ["b"]',
            "models.a.fallbacks: there is no model 'b'; known are a, demo",
        ),
        ('[models.mine]\nprovider = "demo"', "headwater.toml: models.mine is defined in code, too"),
    ],
)
def test_names_that_do_not_fit_together_are_refused_at_start(text: str, line: str) -> None:
    code = {"mine": Named("code")} if "mine" in text else {}
    with pytest.raises(ConfigError) as caught:
        build_catalog(parse(text), FACTORIES, demo=Named("demo"), providers=code)
    assert line in str(caught.value)


def test_a_provider_that_cannot_be_made_is_named_with_its_model() -> None:
    def broken(spec: ModelSpec) -> Provider:
        raise ConfigError("there is no module 'myapp'")

    with pytest.raises(ConfigError, match=r"^headwater.toml: models.rag: there is no module 'myapp'$"):
        build_catalog(parse(WHOLE), FACTORIES | {"python": broken}, demo=Named("demo"))
    with pytest.raises(ConfigError, match=r"models\.fast\.provider: there is no provider 'openai'; known are demo"):
        build_catalog(parse(WHOLE), {"demo": Named}, demo=Named("demo"))  # type: ignore[dict-item]  # never called


async def test_closing_closes_each_provider_once_even_if_one_fails() -> None:
    class Broken(Named):
        async def close(self) -> None:
            raise OSError("gone")

    shared = Named("shared")
    catalog = Catalog([Model("x", Broken("x")), Model("a", shared), Model("b", shared)], "a")
    await catalog.close()
    assert shared.closed == 1


# -- what an upstream lists


async def test_the_names_that_an_upstream_lists_are_taken() -> None:
    async def ask() -> list[str]:
        return ["a", "", "b", "x" * 257]

    assert await discover(ask) == ["a", "b"]


async def test_an_upstream_that_does_not_answer_is_a_warning_without_its_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def refuse() -> list[str]:
        raise OSError("http://user:sk-1@h refused")

    async def hang() -> list[str]:
        await asyncio.Event().wait()
        return []

    assert await discover(refuse) == []
    assert await discover(hang, timeout_s=0.01) == []
    assert "OSError" in caplog.text and "TimeoutError" in caplog.text
    assert "HEADWATER_ANY_MODEL" in caplog.text
    assert "sk-1" not in caplog.text
