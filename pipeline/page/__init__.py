"""The page of `pipeline run --ui` and `pipeline demo --live`: a run, watched in a browser.

board.py      what the page shows of a run: counted from the reports of stored batches
sample.py     the first dead letter of a kind, made again from its stream record
trial.py      a sample, judged again by the same stations with a schema that is being edited
rule.py       where in schema and dataset.toml the rule stands that refused a document
server.py     serves it on 127.0.0.1, under a secret path
page.*        the page itself: HTML, CSS and JavaScript, handed out as one document

It reads what a run reports anyway (`Board.add` is called with each stored batch's report) and
writes nothing.
"""

from pipeline.page.board import Board
from pipeline.page.server import serve, stay

__all__ = ["Board", "serve", "stay"]
