"""The documents' commands do what the documents say."""

import re

import pytest

import demo
import documents
from appliance import ROOT, running


@pytest.mark.parametrize("path", ["docs/recipes.md", "docs/client.md", "client/examples/README.md"])
def test_every_block_of_a_document_runs_and_prints_what_stands_below_it(tmp_path, path):
    document = (ROOT / path).read_text()
    environment_of_the_quick_start = ". build/quickstart/env\n"
    assert environment_of_the_quick_start in document
    with running(tmp_path) as appliance:
        variables = demo.environment(appliance)
        text = "".join(f"export {name}='{value}'\n" for name, value in variables.items())
        (tmp_path / "env").write_text(text)
        documents.run(document.replace(environment_of_the_quick_start, f". {tmp_path}/env\n"), tmp_path, {})


def test_the_quick_start_leaves_the_variables_that_these_tests_set(tmp_path):
    with running(tmp_path) as appliance:
        variables = demo.environment(appliance)
    script = (ROOT / "provisioning/quickstart.sh").read_text()
    assert set(re.findall(r"^export (\w+)=", script[script.index('cat >"$home/env"'):], re.MULTILINE)) == set(variables)


def test_a_line_that_a_document_does_not_show_is_seen():
    assert documents.fits("a … c\nd\n", "a b c\nd\n") and documents.fits("", "")
    for printed in ("a b c\n", "a b c\nd\ne\n", "a b\nd\n", "d\na b c\n", ""):
        assert not documents.fits("a … c\nd\n", printed)
    assert not documents.fits("", "curl: (7) failed\n") and not documents.fits("a.c\n", "abc\n")


def test_a_document_that_no_longer_holds_fails(tmp_path):
    for number, document in enumerate(["```sh\nfalse\necho a\n```\n", "```sh\necho a\n```\n", "```sh\necho a\n```\n\n```text\nb\n```\n",
                                       "```sh\necho a\nexit 1\n```\n\n```text\na\n```\n", "no block\n"]):
        (tmp_path / str(number)).mkdir()
        with pytest.raises(AssertionError):
            documents.run(document, tmp_path / str(number), {})
