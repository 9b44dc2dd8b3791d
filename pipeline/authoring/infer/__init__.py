"""Sample documents to the draft of a dataset.

Documents are kept (`samples`), and folded into what was seen at each place (`observed`); from that
types are guessed (`guess`) and written (`render`). Then the draft is tried on its samples by the
code that will convert them (`trial`), and narrowed until it holds (`draft`): what does not become a
row is announced, with a number and a place, and is one document in a hundred at most.
"""

from pipeline.authoring.infer.draft import Draft, DraftOptions, check_name
from pipeline.authoring.infer.guess import Line, Rest
from pipeline.authoring.infer.names import dataset_name
from pipeline.authoring.infer.sample import Place, Sample
from pipeline.authoring.infer.samples import Samples
from pipeline.authoring.infer.trial import Misfit

__all__ = [
    "Draft",
    "DraftOptions",
    "Line",
    "Misfit",
    "Place",
    "Rest",
    "Sample",
    "Samples",
    "check_name",
    "dataset_name",
]
