"""``connectors new`` gives a folder that loads at once and whose check names what is missing."""

from __future__ import annotations

import pytest

from connectors.sdk.catalog import ConnectorFolder
from connectors.sdk.errors import FixConfig
from connectors.sdk.scaffold import new_connector
from connectors.sdk.testing.conformance import Status, check


def test_a_new_connector_loads_and_its_check_names_what_is_missing(tmp_path):
    folder = new_connector("my_crm", tmp_path)

    connector = ConnectorFolder(folder)
    report = check(folder)

    assert connector.manifest.title == "My Crm"
    assert list(connector.mapping.streams) == ["contacts"]
    assert report.status("CON-FIXTURES-PRESENT") is Status.FAIL
    assert "fixtures/contacts/ has no case" in report.text()


@pytest.mark.parametrize("name", ["My-Crm", "1crm", "", "../x"])
def test_a_name_that_cannot_be_a_folder_is_refused(tmp_path, name):
    with pytest.raises(FixConfig):
        new_connector(name, tmp_path)


def test_an_existing_folder_is_not_touched(tmp_path):
    (tmp_path / "crm").mkdir()

    with pytest.raises(FixConfig, match="exists"):
        new_connector("crm", tmp_path)
