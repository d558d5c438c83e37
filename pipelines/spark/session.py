"""The one home of PySpark: a session, tables that pass through Parquet files, functions, and parts worked on by Python."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib import resources
from itertools import count
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from connectors.sdk.errors import FixConfig
from pipelines.spark.strptime import epoch_us

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

_JAVA: Final[Mapping[str, tuple[str, str]]] = {
    "unisono_jaro_winkler": ("JaroWinkler", "double"),
    "unisono_nfc": ("Nfc", "string"),
    "unisono_strip_accents": ("StripAccents", "string"),
    "unisono_lower": ("Lower", "string"),
    "unisono_upper": ("Upper", "string"),
    "unisono_instant": ("Instant", "bigint"),
    "unisono_in_zone": ("InZone", "bigint"),
}
_SPLINK: Final = "scala-udf-similarity-0.1.2_spark3.x.jar"
_ALWAYS: Final = {
    "spark.sql.ansi.enabled": "false",
    "spark.sql.legacy.sizeOfNull": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.caseSensitive": "true",
}
"""What the meaning of a query rests on: nothing in the configuration may change it."""
_USUAL: Final = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
}
_HERE: Final = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "4",
}
"""A session within this process listens to this machine only, and has no use for the 200 partitions of a cluster."""

Part = Callable[[pa.Table, int], tuple[Mapping[str, pa.Table], Any]]
"""Work on one part of a table: its tables by name, and what else is to be told."""


class Spark:
    """A Spark session with our functions, and a folder through which tables pass to it and back.

    A cluster needs this package on its workers, and ``exchange`` on a file system that all of them have.
    """

    def __init__(
        self, master: str | None = None, exchange: str | Path | None = None, config: Mapping[str, str] | None = None
    ) -> None:
        self._spark = _start(master, config or {})
        self._local = _is_local(self._spark.sparkContext.master)
        self._folder = Path(tempfile.mkdtemp(prefix="unisono-spark-", dir=exchange))
        _add_java(self._spark, self._folder / "unisono-functions.jar")
        self._numbers = count()
        self._tables: dict[str, list[str]] = {}
        self._known: set[str] = set()
        self._lock = Lock()
        self._register_ours()

    @property
    def parts(self) -> int:
        """How many parts are worked on at once."""
        return int(self._spark.sparkContext.defaultParallelism)

    @property
    def functions(self) -> set[str]:
        """The Python functions that queries may call."""
        return self._known

    def close(self) -> None:
        """Stop the session and delete its files."""
        self._spark.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def put(self, name: str, table: pa.Table) -> None:
        """Give a table to Spark under a name."""
        self._show(name, [self._written(table)], table.column_names, _schema(table.schema))

    def function(self, name: str, function: Callable[..., Any], kind: str = "string") -> None:
        """Let queries call a Python function."""
        self._spark.udf.register(name, function, kind)
        self._known.add(name)

    def keep(self, name: str, query: str) -> None:
        """Compute a query and keep its rows as a table."""
        with self._lock:
            found = self._spark.sql(query)
            folder = self._new_folder()
            found.write.parquet(folder)
            self._show(name, [folder], found.columns, found.schema)

    def fill(self, name: str, columns: Mapping[str, str], queries: Sequence[str]) -> None:
        """Keep the rows of several queries together as a table of the given columns and types."""
        kinds = ", ".join(f"`{column}` {kind}" for column, kind in columns.items())
        cast = [f"CAST(`{column}` AS {kind}) AS `{column}`" for column, kind in columns.items()]
        parts = [self._spark.sql(query).toDF(*columns).selectExpr(*cast) for query in queries]
        found = self._united(parts) if parts else self._spark.createDataFrame([], kinds)
        found.createOrReplaceTempView(f"filling_{name}")
        self.keep(name, f"SELECT * FROM filling_{name}")
        self._spark.catalog.dropTempView(f"filling_{name}")

    def rename(self, name: str, new: str) -> None:
        """Let a table have another name."""
        frame = self._spark.table(name)
        self._show(new, self._tables.pop(name), frame.columns, frame.schema)
        self._spark.catalog.dropTempView(name)

    def drop(self, name: str) -> None:
        """Forget a table and delete its files."""
        for folder in self._tables.pop(name, []):
            shutil.rmtree(folder, ignore_errors=True)
        self._spark.catalog.dropTempView(name)

    def columns(self, name: str) -> list[str]:
        """Return the columns of a table."""
        return list(self._spark.table(name).columns)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query that has few."""
        return [tuple(row) for row in self._spark.sql(query).collect()]

    def fetch(self, query: str) -> pa.Table:
        """Return the rows of a query as an Arrow table."""
        with self._lock:
            folder = self._new_folder()
            self._spark.sql(query).write.parquet(folder)
        table = pq.read_table(folder)
        shutil.rmtree(folder, ignore_errors=True)
        return table

    def fetch_all(self, queries: Sequence[str]) -> list[pa.Table]:
        """Return the rows of several queries as Arrow tables, computed in one job."""
        if not queries:
            return []
        frames = [self._spark.sql(query) for query in queries]
        places = [_places(frame.dtypes) for frame in frames]
        kinds = dict(each for placed in places for each in placed.values())
        whole = self._united(
            [
                _placed(frame, number, placed, kinds)
                for number, (frame, placed) in enumerate(zip(frames, places, strict=True))
            ]
        )
        with self._lock:
            folder = self._new_folder()
            whole.write.parquet(folder)
        table = pq.read_table(folder)
        shutil.rmtree(folder, ignore_errors=True)
        return [_picked(table, number, placed) for number, placed in enumerate(places)]

    def take(self, name: str) -> pa.Table:
        """Return a table that is kept."""
        folders = self._tables[name]
        return self.fetch(f"SELECT * FROM `{name}`") if not folders else _together(folders)

    def work(
        self, table: pa.Table, part: Part, shape: Mapping[str, Sequence[str]], name: str, parts: int = 1
    ) -> list[Any]:
        """Let workers run ``part`` over the parts of a table; each of its tables becomes ``<name>_<table>``.

        ``part`` gets the rows and the number of the first one; returned is what each of them told, in order.
        """
        size = max(1, -(-table.num_rows // parts))
        starts = range(0, table.num_rows, size) if table.num_rows else [0]
        files = [(self._written(table.slice(start, size)), start, number) for number, start in enumerate(starts)]
        folders = {each: self._new_folder() for each in shape}
        for folder in folders.values():
            Path(folder).mkdir()
        work = partial(_run_part, part, folders)
        told = self._spark.sparkContext.parallelize(files, len(files)).map(work).collect()
        for each, folder in folders.items():
            self._show(f"{name}_{each}", [folder], shape[each], _schema(told[0][1][each]))
        for file, _, _ in files:
            shutil.rmtree(file, ignore_errors=True)
        return [each for each, _ in told]

    def _united(self, frames: Sequence[DataFrame]) -> DataFrame:
        """Return the rows of all frames: two by two, as each union is analysed when it is made.

        On this machine they share tasks: a task has to be told of the whole union, and few tasks run at once.
        """
        found = list(frames)
        while len(found) > 1:
            pairs = zip(found[::2], found[1::2], strict=False)
            found = [a.unionAll(b) for a, b in pairs] + found[len(found) // 2 * 2 :]
        return found[0].coalesce(self.parts) if self._local else found[0]

    def _show(self, name: str, folders: list[str], columns: Iterable[str], schema: StructType | None) -> None:
        """Name a table; without its schema Spark runs a job that reads it from the files."""
        reader: Any = self._spark.read
        frame: DataFrame = (reader.schema(schema) if schema is not None else reader).parquet(*folders)
        wanted = list(columns)
        if schema is None or schema.names != wanted:
            frame = frame.select(*(f"`{column}`" for column in wanted))
        frame.createOrReplaceTempView(name)
        before, self._tables[name] = self._tables.get(name, []), folders
        for folder in before:
            shutil.rmtree(folder, ignore_errors=True)

    def _written(self, table: pa.Table) -> str:
        folder = self._new_folder()
        Path(folder).mkdir()
        pq.write_table(table, f"{folder}/part.parquet")
        return folder

    def _new_folder(self) -> str:
        return str(self._folder / str(next(self._numbers)))

    def _register_ours(self) -> None:
        jvm: Any = self._spark._jvm  # noqa: SLF001  the only way to classes of Java
        loader = jvm.org.apache.spark.util.Utils.getContextOrSparkClassLoader()
        for name, (of, kind) in _JAVA.items():
            made = loader.loadClass(f"unisono.Functions${of}").newInstance()
            returned = jvm.org.apache.spark.sql.types.DataType.fromDDL(kind)
            self._spark._jsparkSession.udf().register(name, made, returned)  # noqa: SLF001  as above
        self._spark.udf.registerJavaFunction(
            "damerau_levenshtein", "uk.gov.moj.dash.linkage.LevDamerauDistance", "double"
        )
        self.function("unisono_strptime", epoch_us, "bigint")


def _run_part(part: Part, folders: Mapping[str, str], job: tuple[str, int, int]) -> Any:
    """Work on one part, where it is: read its file, write its tables; tell the rest, and what the tables look like."""
    file, start, number = job
    tables, told = part(pq.read_table(f"{file}/part.parquet"), start)
    for name, folder in folders.items():
        pq.write_table(tables[name], f"{folder}/part-{number:05}.parquet")
    return told, {name: tables[name].schema for name in folders}


def _schema(schema: pa.Schema) -> StructType | None:
    """Return what Spark sees in files of this schema; nothing, if it must look into them for that."""
    from pyspark.errors import PySparkTypeError  # noqa: PLC0415  an extra: only who asks for Spark has it
    from pyspark.sql.pandas.types import from_arrow_schema  # noqa: PLC0415  needs no pandas, whatever its name says

    try:
        made = from_arrow_schema(schema, prefer_timestamp_ntz=True)
    except PySparkTypeError:
        return None
    return None if "void" in made.simpleString() else made


def _places(dtypes: Sequence[tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Give each column of a query a place and its type: queries share the places of a type, so that their union is narrow."""
    taken: Counter[str] = Counter()
    places = {}
    for name, kind in dtypes:
        places[name] = f"{kind} {taken[kind]}", kind
        taken[kind] += 1
    return places


def _placed(
    frame: DataFrame, number: int, places: Mapping[str, tuple[str, str]], kinds: Mapping[str, str]
) -> DataFrame:
    """Put a query's columns into their places, in the order of ``kinds``; the other places are empty."""
    names = {place: name for name, (place, _) in places.items()}
    shown = (
        f"`{names[place]}` AS `{place}`" if place in names else f"CAST(NULL AS {kind}) AS `{place}`"
        for place, kind in kinds.items()
    )
    return frame.selectExpr(f"{number} AS query", *shown)


def _picked(table: pa.Table, number: int, places: Mapping[str, tuple[str, str]]) -> pa.Table:
    mine = table.filter(pc.equal(table.column("query"), number))
    return mine.select([place for place, _ in places.values()]).rename_columns(list(places))


def _together(folders: list[str]) -> pa.Table:
    tables = [pq.read_table(folder) for folder in folders]
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="permissive")


def _start(master: str | None, config: Mapping[str, str]) -> SparkSession:
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        do = "install a Java 17 runtime (apt-get install openjdk-17-jre-headless), or set engine: duckdb"
        raise FixConfig("engine: spark needs Java, and there is none", do=do)
    try:
        from pyspark.sql import SparkSession  # noqa: PLC0415  an extra: only who asks for Spark has it
    except ImportError as why:
        raise FixConfig("engine: spark needs PySpark", why=str(why), do="pip install 'unisono[spark]'") from why
    import splink  # noqa: PLC0415  slow to import

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    jar = Path(splink.__file__).parent / "internals" / "files" / "spark_jars" / _SPLINK
    here = _HERE if _is_local(master) else {}
    wanted = {
        **_USUAL,
        **here,
        **config,
        **_ALWAYS,
        "spark.jars": ",".join([str(jar), *filter(None, [config.get("spark.jars")])]),
    }
    builder: Any = SparkSession.builder.appName("unisono")
    builder = builder.master(master) if master else builder
    for key, value in wanted.items():
        builder = builder.config(key, str(value))
    session: SparkSession = builder.getOrCreate()
    session.sparkContext.setLogLevel(str(wanted["spark.log.level"]))
    return session


def _is_local(master: str | None) -> bool:
    return (master or "").startswith("local")


def _add_java(session: SparkSession, jar: Path) -> None:
    """Compile our Java functions and give them to the session and its workers."""
    java: Any = session._jvm  # noqa: SLF001  as above
    compiler = java.org.codehaus.janino.SimpleCompiler()
    compiler.cook(resources.files("connectors.sdk.spark").joinpath("Functions.java").read_text(encoding="utf-8"))
    classes = compiler.getBytecodes()
    with zipfile.ZipFile(jar, "w") as archive:
        for name in classes.keySet():
            archive.writestr(f"{name.replace('.', '/')}.class", bytes(classes[name]))
    session.sql(f"ADD JAR '{jar}'")
