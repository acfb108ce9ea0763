import csv
import glob
import io
import os
import re
import secrets

FILE_BYTES_MAX = 32 * 1024 * 1024
GLOB_FILES_MAX = 1_000


class Files:
    """The files below one folder. No path leaves it, symbolic links included."""

    def __init__(self, root):
        self.root = os.path.realpath(root)

    def place(self, path):
        parts = [it for it in path.replace("\\", "/").split("/") if it not in ("", ".")]
        place = os.path.realpath(os.path.join(self.root, path))
        is_inside = place.startswith(self.root.rstrip(os.sep) + os.sep)
        first = os.path.relpath(place, self.root).split(os.sep)[0] if is_inside else ""
        if not is_inside or ".." in parts or "\0" in path or first.lower() == ".dipeo":
            message = "path `%s` leaves the workspace" % path
            raise Failure("PATH_NOT_ALLOWED", message, "write a path relative to the workspace, without `..`")
        return place

    def exists(self, path):
        return os.path.isfile(self.place(path))

    def read(self, path):
        place = self.place(path)
        try:
            if os.path.exists(place) and not os.path.isfile(place):
                raise Failure("FILE_FAILED", "`%s` is no regular file" % path, retryable=True)
            with open(place, "rb") as file:
                content = file.read(FILE_BYTES_MAX + 1)
        except OSError as error:
            raise file_failure("read", path, error)
        return self.checked(path, content)

    def write(self, path, content):
        """Writes beside the file and renames, so that readers see the old bytes or the new."""
        place = self.place(path)
        self.checked(path, content)
        beside = os.path.join(os.path.dirname(place), "." + secrets.token_hex(16) + ".tmp")
        try:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(beside, "xb") as file:
                file.write(content)
            os.replace(beside, place)
        except OSError as error:
            if os.path.exists(beside):
                os.remove(beside)
            raise file_failure("write", path, error)

    @staticmethod
    def checked(path, content):
        if len(content) > FILE_BYTES_MAX:
            raise Failure("FILE_FAILED", "`%s` is larger than %d bytes" % (path, FILE_BYTES_MAX), retryable=True)
        return content

    def find(self, pattern):
        """The files that match a pattern, by path."""
        parts = [it for it in pattern.split("/") if it not in ("", ".")]
        if ".." in parts or os.path.isabs(pattern):
            self.place("../" + pattern)
        wanted = os.path.join(glob.escape(self.root), *parts)
        found = []
        for place in sorted(set(glob.glob(wanted, recursive=True))):
            if os.path.isfile(place):
                path = os.path.relpath(place, self.root).replace(os.sep, "/")
                self.place(path)
                found.append(path)
        if len(found) > GLOB_FILES_MAX:
            raise Failure("FILE_FAILED", "pattern `%s` matches more than %d files" % (pattern, GLOB_FILES_MAX))
        return found


def file_failure(verb, path, error):
    if isinstance(error, (FileNotFoundError, NotADirectoryError)) and verb == "read":
        hint = "paths are relative to the workspace"
        return Failure("FILE_NOT_FOUND", "file `%s` does not exist" % path, hint, retryable=True)
    return Failure("FILE_FAILED", "cannot %s `%s`: %s" % (verb, path, error.strerror), retryable=True)


def suffix_of(path):
    name = path.rsplit("/", 1)[-1]
    return name.rsplit(".", 1)[-1].lower() if "." in name else ""


def format_of_suffix(path):
    known = {"json": "json", "csv": "csv", "yaml": "yaml", "yml": "yaml"}
    return known.get(suffix_of(path), "text")


def malformed(path, kind, detail):
    return Failure("FILE_FAILED", "`%s` is not %s: %s" % (path, kind, detail), retryable=True)


def no_yaml(path):
    return Failure("FILE_FAILED", "`%s` is YAML, which Python's standard library cannot read or write" % path)


def decode_file(text, file_format, path):
    bare = text[1:] if text.startswith("\ufeff") else text
    if file_format == "json":
        try:
            return read_json(bare)
        except ValueError as error:
            raise malformed(path, "JSON", error)
    if file_format == "csv":
        return read_csv(bare, path)
    if file_format == "yaml":
        raise no_yaml(path)
    return text


def encode_file(value, file_format, path):
    if file_format == "json":
        is_json = isinstance(value, str) and json_or(value, NOTHING) is not NOTHING
        return value if is_json else pretty(value)
    if isinstance(value, str):
        return value
    if file_format == "csv":
        return write_csv(value, path)
    if file_format == "yaml":
        raise no_yaml(path)
    return as_text(value)


def read_csv(text, path):
    rows = [it for it in csv.reader(io.StringIO(text, newline="")) if it]
    header = rows[0] if rows else []
    uneven = next((n for n, it in enumerate(rows) if len(it) != len(header)), None)
    if uneven is not None:
        raise malformed(path, "CSV", "row %d has %d cells, not %d" % (uneven, len(rows[uneven]), len(header)))
    return [dict(zip(header, it)) for it in rows[1:]]


def write_csv(value, path):
    if not isinstance(value, list) or not all(isinstance(it, (dict, list)) for it in value):
        hint = "CSV takes a list of mappings or a list of lists"
        raise Failure("FILE_FAILED", "the value for `%s` is no table" % path, hint)
    columns = list(dict.fromkeys(key for row in value if isinstance(row, dict) for key in row))
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    if columns:
        writer.writerow(columns)
    for row in value:
        cells = [row.get(it) for it in columns] if isinstance(row, dict) else row
        writer.writerow([it if isinstance(it, str) else "" if it is None else spell(it) for it in cells])
    return out.getvalue()


def decode_text(content, encoding, path):
    if encoding == "latin-1":
        return content.decode("latin-1")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        message = "`%s` is not UTF-8 text: byte %d does not fit" % (path, error.start)
        raise Failure("FILE_FAILED", message, "give `encoding: latin-1` if that is what it is")
    return text[1:] if encoding == "utf-8-sig" and text.startswith("\ufeff") else text


def encode_text(text, encoding, path):
    try:
        return text.encode("latin-1" if encoding == "latin-1" else encoding)
    except UnicodeEncodeError:
        raise Failure("FILE_FAILED", "%s cannot spell what `%s` would hold" % (encoding, path), "use `encoding: utf-8`")
