"""`pipeline completion`: what it prints completes, asked of the shell itself."""

import subprocess
from pathlib import Path

import pytest

from pipeline.cli import main

ASK = """
source {script}
COMP_WORDS=({words}); COMP_CWORD={last}
$(complete -p pipeline | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (["pipeline", "dead-l"], ["dead-letters"]),
        (["pipeline", "dead-letters", "--sin"], ["--since"]),
        (["pipeline", "completion", "z"], ["zsh"]),
        (["pipeline", "no-such-command"], [""]),
    ],
)
def test_bash_completes(
    typed: list[str], completed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "completion.bash"
    script.write_text(capsys.readouterr().out, "utf-8")
    ask = ASK.format(script=script, words=" ".join(typed), last=len(typed) - 1)
    done = subprocess.run(
        ["bash", "-c", ask], capture_output=True, encoding="utf-8", check=False, timeout=60
    )
    assert done.stderr == ""
    assert [word.strip() for word in done.stdout.split("\n")[:-1]] == completed


def test_zsh_has_a_script_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out.startswith("#compdef pipeline\n")
