"""`pipeline completion`: a script that completes commands, options and their values in a shell."""

import argparse

from pipeline.commands.options import Commands

_SHELLS = ("bash", "zsh", "tcsh")
_DESCRIPTION = """\
Print a script that completes commands, options and their values. In bash, for this session and
later ones:

    pipeline completion bash > ~/.pipeline-completion && source ~/.pipeline-completion
    echo 'source ~/.pipeline-completion' >> ~/.bashrc

In zsh, write it to a file _pipeline in a folder that $fpath names before compinit runs.
"""


def register(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "completion",
        help="print a script that completes commands and options in a shell",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=_SHELLS, help="the shell that is to read the script")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the script; return the exit code."""
    import shtab

    print(shtab.complete(options.command_line, shell=options.shell))
    return 0
