import pytest

from app.config import looks_secret


@pytest.mark.parametrize(
    "name",
    ["Authorization", "Proxy-Authorization", "x-api-key", "OPENAI_API_KEY", "GITHUB_TOKEN", "clientSecret", "Cookie",
     "DB_PASSWORD"],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    """A name that says it, in whatever case, is taken for a secret's."""
    assert looks_secret(name)


@pytest.mark.parametrize("name", ["", "X-Org", "LANG", "Accept", "User-Agent"])
def test_other_names(name: str) -> None:
    """Other names are not."""
    assert not looks_secret(name)
