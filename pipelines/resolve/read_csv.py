"""Fill the match table from CSV files: a benchmark's ``records.csv`` or a user's own export."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

from connectors.sdk.errors import FixConfig
from pipelines.resolve.match_view import ADDRESS_TERMS, match_table, scalar_terms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

IDENTIFIER_COLUMNS = (
    "national_id", "passport", "drivers_licence", "patient_id", "tax_id", "duns", "lei", "vat_id",
    "company_number", "external_id", "customer_id", "user_id",
)  # fmt: skip
_LISTS: Mapping[str, str] = {"email": "emails", "phone": "phones", "website": "websites", "linkedin_url": "socials"}
_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "source_key": ("id", "recordid", "rowid", "key", "uniqueid", "contactid", "recid"),
    "full_name": ("name", "fullname", "displayname", "contactname", "customername"),
    "given_name": ("firstname", "givenname", "forename", "first", "fname", "prenom", "vorname"),
    "middle_name": ("middlename", "middle", "secondname"),
    "family_name": ("lastname", "familyname", "surname", "last", "lname", "nachname", "nom"),
    "birth_date": ("birthdate", "dateofbirth", "dob", "birthday", "birthdt"),
    "birth_place": ("birthplace", "placeofbirth"),
    "gender": ("gender", "sex"),
    "job_title": ("jobtitle", "title", "position", "occupation"),
    "organization_name": (
        "organizationname", "organisationname", "organization", "organisation", "company", "companyname", "employer",
        "account",
    ),
    "email": ("email", "emailaddress", "mail", "primaryemail", "workemail", "personalemail"),
    "phone": ("phone", "phonenumber", "telephone", "tel", "mobile", "mobilephone", "cell", "workphone", "homephone"),
    "website": ("website", "url", "web", "homepage", "domain"),
    "linkedin_url": ("linkedinurl", "linkedin"),
    "street": ("street", "address", "address1", "addressline1", "street1", "streetaddress"),
    "street_2": ("street2", "address2", "addressline2"),
    "city": ("city", "town", "suburb", "locality"),
    "region": ("region", "state", "province", "county"),
    "postcode": ("postcode", "zip", "zipcode", "postalcode"),
    "country": ("country", "countrycode"),
    "national_id": ("nationalid", "ssn", "socsecid", "socialsecuritynumber"),
    "passport": ("passport", "passportnumber"),
    "drivers_licence": ("driverslicence", "driverslicense", "licencenumber"),
}  # fmt: skip
_BY_HEADER = {
    spelling: column for column, spellings in _SYNONYMS.items() for spelling in (*spellings, column.replace("_", ""))
}


def read_records(path: Path, entity: str, *, source: str | None = None) -> pa.Table:
    """Return the match table of one CSV; an unknown column becomes a plain attribute, never an error."""
    table = _read_text(path)
    names = _canonical_names(table.column_names)
    return _to_match(list(zip(names, table.columns, strict=True)), entity, source or path.stem, table.num_rows)


def _read_text(path: Path) -> pa.Table:
    if not path.is_file():
        raise FixConfig("there is no such file", where=str(path), do="give the path of a CSV file with a header line")
    try:
        header = pcsv.open_csv(path).schema.names
        convert = pcsv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=True, null_values=[""]
        )
        parse = pcsv.ParseOptions(newlines_in_values=True)
        table = pcsv.read_csv(path, convert_options=convert, parse_options=parse)
    except pa.ArrowInvalid as error:
        raise FixConfig(
            "the file cannot be read as CSV",
            where=str(path),
            why=str(error),
            do="save it as UTF-8 CSV with one header line",
        ) from error
    if table.num_rows == 0:
        raise FixConfig("the file holds no records", where=str(path), do="give a CSV with at least one data line")
    return table.combine_chunks()


def _canonical_names(header: Sequence[str]) -> list[str]:
    return [_BY_HEADER.get(re.sub(r"[^a-z0-9]", "", name.lower()), _plain(name)) for name in header]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "column"


def _to_match(named: list[tuple[str, pa.ChunkedArray]], entity: str, source: str, rows: int) -> pa.Table:
    columns: dict[str, pa.Array | list[object]] = {}
    lists: dict[str, list[pa.ChunkedArray]] = {}
    identifiers: list[pa.ChunkedArray] = []
    keys, sources = None, None
    for name, column in named:
        if name == "source_key" and keys is None:
            keys = column
        elif name == "source":
            sources = column
        elif name in _LISTS:
            lists.setdefault(_LISTS[name], []).append(column)
        elif name in IDENTIFIER_COLUMNS:
            identifiers.append(pc.binary_join_element_wise(name, column, "="))
        else:
            columns.setdefault(_term(name, entity), column)
    for name, parts in lists.items():
        columns[name] = _as_list(parts, rows)
    if identifiers:
        columns["identifiers"] = _as_list(identifiers, rows)
    numbers = pa.array(range(rows), pa.int64())
    refs = keys if keys is not None else numbers.cast(pa.string())
    columns["source_record_id"] = numbers
    columns["source_ref"] = pc.binary_join_element_wise(sources if sources is not None else source, refs, "/")
    return match_table(entity, columns)


def _term(name: str, entity: str) -> str:
    """Name the entity's own term: an organisation's name may be called by three headers."""
    if entity == "organization" and name in ("organization_name", "full_name"):
        return "name"
    known = name in scalar_terms(entity) or name in ADDRESS_TERMS
    return (
        name if known else f"{name}_" if name in ("source_ref", "is_stub", "role_class", "source_record_id") else name
    )


def _as_list(parts: list[pa.ChunkedArray], rows: int) -> pa.Array:
    values = [part.to_pylist() for part in parts]
    return pa.array([sorted({v[i] for v in values if v[i] is not None}) for i in range(rows)], pa.list_(pa.string()))
