"""Labelled people of one simulated town, from another project: ``python make_pseudopeople.py DIR``.

Writes the sample population of the pseudopeople package (simulated residents of one town, with the errors that real censuses
and registers have) as folders for ``unisono bench identity``. Run it by itself in an environment that has pseudopeople; the
project does not depend on it. ADR 0058 was made with these sets in view. Dates are written ISO where they can be read; nothing else is mended.
"""

from __future__ import annotations

import csv
import hashlib
import sys
from pathlib import Path
from typing import Any

SETS = {
    "pp_census": ("census_2020", "census_2030", "wic", "acs", "cps"),
    "pp_once": ("census_2020",),
    "pp_ssa": ("census_2020", "ssa"),
    "pp_w2": ("census_2020", "w2"),
    "pp_all": ("census_2020", "census_2030", "wic", "acs", "cps", "ssa", "w2"),
}
COLUMNS = (
    "source", "source_key", "given_name", "middle_name", "family_name", "birth_date", "gender", "street", "street_2", "city",
    "region", "postcode", "national_id", "organization_name",
)  # fmt: skip
_MONTH_FIRST, _YEAR_FIRST = "MDY", "YMD"
_WRITTEN = {"wic": _MONTH_FIRST, "ssa": _YEAR_FIRST}
"""How sources write a date in eight digits; others write it with slashes."""
_DIGITS, _SLASHED = 8, 10


def main(folder: Path) -> None:
    """Write all sets."""
    known = {name: list(_records(name, rows)) for name, rows in _generated().items()}
    for name, sources in SETS.items():
        records = [record for source in sources for record in known[source]]
        used = [column for column in COLUMNS if any(record[column] for record in records)]
        (folder / name).mkdir(parents=True, exist_ok=True)
        _write(folder / name / "records.csv", used, [[record[column] for column in used] for record in records])
        labels = [[record["source_key"], record["cluster"]] for record in records]
        _write(folder / name / "truth.csv", ["source_key", "cluster"], labels)
        (folder / name / "dataset.yaml").write_text(f"name: {name}\nentity: person\n", encoding="utf-8")
        print(f"{name}: {len(records):,} records of {len({cluster for _, cluster in labels}):,} people")


def _generated() -> dict[str, Any]:
    import pseudopeople  # type: ignore[import-not-found]

    return {
        "census_2020": pseudopeople.generate_decennial_census(year=2020),
        "census_2030": pseudopeople.generate_decennial_census(year=2030),
        "wic": pseudopeople.generate_women_infants_and_children(year=2020),
        "acs": pseudopeople.generate_american_community_survey(year=2020),
        "cps": pseudopeople.generate_current_population_survey(year=2020),
        "w2": pseudopeople.generate_taxes_w2_and_1099(year=2020),
        "ssa": pseudopeople.generate_social_security(year=2020),
    }


def _records(source: str, rows: Any) -> Any:
    """Yield the records of one source in the terms of the match table."""
    home = "mailing_address_" if source == "w2" else ""
    for number, row in enumerate(rows.astype(object).where(rows.notna(), "").to_dict("records")):
        said = {name: str(value) for name, value in row.items()}
        numbered = [said.get(f"{home}{part}", "") for part in ("street_number", "street_name")]
        yield {
            "source": source,
            "source_key": hashlib.sha256(f"{source} {number}".encode()).hexdigest()[:14],
            "cluster": said["simulant_id"],
            "given_name": said["first_name"],
            "middle_name": said.get("middle_name") or said.get("middle_initial", ""),
            "family_name": said["last_name"],
            "birth_date": _iso(said.get("date_of_birth", ""), _WRITTEN.get(source)),
            "gender": said.get("sex", ""),
            "street": " ".join(filter(None, numbered)) or said.get(f"{home}po_box", ""),
            "street_2": said.get(f"{home}unit_number", ""),
            "city": said.get(f"{home}city", ""),
            "region": said.get(f"{home}state", ""),
            "postcode": said.get(f"{home}zipcode", ""),
            "national_id": said.get("ssn", ""),
            "organization_name": said.get("employer_name", ""),
        }


def _iso(text: str, written: str | None) -> str:
    if written == _YEAR_FIRST and len(text) == _DIGITS:
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    if written == _MONTH_FIRST and len(text) == _DIGITS:
        return f"{text[4:]}-{text[:2]}-{text[2:4]}"
    if len(text) == _SLASHED and text[2] == text[5] == "/":
        return f"{text[6:]}-{text[:2]}-{text[3:5]}"
    return text


def _write(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
