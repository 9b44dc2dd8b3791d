"""The schemas that payloads were written with, from the folder that [payload] of stream.toml names.

Each is a file named by its id: 17.avsc for Confluent, 0b6f5a60-….avsc for Glue. All are read at the
start, so that what cannot be used is told there.
"""

from collections.abc import Mapping
from pathlib import Path

from pipeline.core.binary.avro import AvroSchema
from pipeline.core.binary.decoder import Decoder, WriterSchema
from pipeline.core.errors import DatasetError
from pipeline.core.payload_format import SUFFIX, Header, PayloadFormat


def open_decoder(payload_format: PayloadFormat | None, folder: Path) -> Decoder | None:
    """Return what decodes a stream's payloads, where they are not JSON.

    `folder` is that of stream.toml. Raises `DatasetError` with every fault of the schemas.
    """
    if payload_format is None:
        return None
    schemas = _read(folder / payload_format.schemas, payload_format)
    return Decoder(payload_format, schemas.get)


def _read(folder: Path, payload_format: PayloadFormat) -> Mapping[str, WriterSchema]:
    """Read the schemas of a folder by their ids; the one without a header has the id ""."""
    if not folder.is_dir():
        message = f"{folder} is not a directory; [payload] of stream.toml names it for schemas."
        raise DatasetError(message)
    suffix = SUFFIX[payload_format.format]
    files = {path.name.removesuffix(suffix): path for path in sorted(folder.glob(f"*{suffix}"))}
    if payload_format.header is Header.NONE:
        files = {"": folder / payload_format.schema}
    schemas, faults = dict[str, WriterSchema](), list[str]()
    for name, path in files.items():
        try:
            schemas[name] = AvroSchema(path.read_text("utf-8"), str(path))
        except DatasetError as error:
            faults.append(str(error))
        except UnicodeDecodeError as error:
            faults.append(f"{path} is not UTF-8 (byte {error.start}).")
        except OSError as error:
            faults.append(f"{path} cannot be read: {error.strerror}.")
    if faults:
        raise DatasetError("\n".join(faults))
    return schemas
