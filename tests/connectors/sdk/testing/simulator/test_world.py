"""The world: the same for a seed, dirty as promised, and with a truth to measure by."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from datetime import timedelta
from itertools import islice

import pytest

from connectors.sdk.testing.simulator import DEFAULT_NOW, World, build_shape, person_streams, world_of
from connectors.sdk.testing.simulator.world.dirt import Dirt
from tests.connectors.sdk.testing.simulator.toy import toy

VENDORS = ("hubspot", "klaviyo", "shopify", "typeform", "zendesk")


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def digest(world: World) -> str:
    total = hashlib.sha256()
    for name, shape in sorted(world.shapes.items()):
        for stream in shape.served():
            for key, payload, parent in world.payloads(name, stream):
                total.update(f"{name}/{stream}/{key}".encode() + payload + (parent or b""))
    return total.hexdigest()


def test_a_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    assert digest(World(3, 60)) == digest(World(3, 60))
    assert digest(World(3, 60)) != digest(World(4, 60))


def test_the_clock_only_moves_the_world_in_time() -> None:
    later = World(3, 60, now=DEFAULT_NOW + timedelta(days=10))

    assert [t.entity for t in later.truth("hubspot", "contacts")] == [
        t.entity for t in World(3, 60).truth("hubspot", "contacts")
    ]


def test_the_demo_has_about_twenty_thousand_records_of_two_thousand_people(world: World) -> None:
    counts = Counter(
        {
            (name, stream): sum(1 for _ in world.payloads(name, stream))
            for name in VENDORS
            for stream in world.shapes[name].served()
        }
    )
    people = {t.entity for name in VENDORS for s in person_streams(world.shapes[name]) for t in world.truth(name, s)}

    assert 18_000 <= counts.total() <= 22_000
    assert min(counts.values()) > 4
    assert 1_850 <= sum(e.startswith("person-") for e in people) <= 2_000
    assert world.first_block.organizations.count == 300
    assert world.first_block.staff.count == 40


def test_keys_are_unique_in_each_stream(world: World) -> None:
    for name in VENDORS:
        for stream in world.shapes[name].served():
            keys = [key for key, _, _ in world.payloads(name, stream)]
            assert len(keys) == len(set(keys)), (name, stream)


def test_most_people_are_known_to_several_vendors_and_some_twice_to_one(world: World) -> None:
    vendors, twice = defaultdict(set), Counter[str]()
    for name in VENDORS:
        for stream in person_streams(world.shapes[name]):
            for truth in world.truth(name, stream):
                twice[truth.entity] += name in vendors[truth.entity]
                vendors[truth.entity].add(name)
    sizes = Counter(len(found) for entity, found in vendors.items() if entity.startswith("person"))

    assert 0.7 < (sizes[2] + sizes[3] + sizes[4]) / sizes.total() < 0.95
    assert 80 < sum(1 for count in twice.values() if count) < 300


def test_identities_are_as_dirty_as_promised(world: World) -> None:
    rows = world.first_block.rows("hubspot", "contacts")
    count = rows.count

    def share(column: str, truth: str) -> float:
        pairs = zip(rows.column(column), rows.column(f"person.{truth}"), strict=True)
        return sum(a is not None and a != b for a, b in pairs) / count

    emails = [e for e in rows.column("email") if e]
    shared = Counter(e.lower() for e in emails)
    assert 0.12 < share("given_name", "given_name") < 0.35
    assert 0.1 < share("family_name", "family_name") < 0.3
    assert 0.3 < share("email", "personal_email") < 0.75
    assert 0.2 < sum(p is None for p in rows.column("phone")) / count < 0.4
    assert 0.01 < sum(n > 1 for n in shared.values()) / len(shared) < 0.15
    assert (
        3
        < sum(
            e.lower().startswith(("info@", "sales@", "office@", "hello@", "contact@", "support@", "kontakt@", "buero@"))
            for e in emails
        )
        < 40
    )
    assert sum(p in {"0000000000", "1234567890", "9999999999"} for p in rows.column("phone")) > 3


def test_households_share_phones_and_mailboxes(world: World) -> None:
    people = world.first_block.people
    by_landline, by_mailbox = defaultdict(set), defaultdict(set)
    for i in range(people.count):
        by_landline[people.column("landline")[i]].add(i)
        by_mailbox[people.column("family_email")[i]].add(i)
    by_mailbox.pop(None)

    assert 200 < sum(len(members) > 1 for members in by_landline.values()) < 800
    assert 50 < sum(len(members) > 1 for members in by_mailbox.values()) < 300
    assert len(set(people.column("personal_email"))) == people.count


def test_facts_point_to_records_that_exist(world: World) -> None:
    block = world.first_block
    deals, contacts, companies = (block.rows("hubspot", s) for s in ("deals", "contacts", "companies"))
    known = set(companies.column("id"))

    assert set(deals.column("contacts.id")) <= set(contacts.column("id"))
    assert {c for c in deals.column("company.id") if c} <= known
    assert sum(c is not None for c in deals.column("company.id")) > 100
    assert deals.column("person.number") == [contacts.column("person.number")[i] for i in deals.link("parent").at]


def test_nothing_lies_in_the_future_and_no_record_is_younger_than_its_change(world: World) -> None:
    for name in VENDORS:
        for stream in world.shapes[name].served():
            for made in world.made(name, stream):
                created, updated = made.rows.column("created"), made.rows.column("updated")
                assert max(updated) <= world.now_ms, (name, stream)
                assert all(c <= u for c, u in zip(created, updated, strict=True)), (name, stream)


def test_some_employees_are_customers_too(world: World) -> None:
    entities = [t.entity for t in world.truth("hubspot", "owners")]

    assert {e.split("-")[0] for e in entities} == {"person", "staff"}
    assert sum(e.startswith("person-") for e in entities) <= 3


def test_children_carry_their_parents_record(world: World) -> None:
    tickets = {key: payload for key, payload, _ in world.payloads("zendesk", "tickets")}

    comments = list(world.payloads("zendesk", "ticket_comments"))

    assert {parent for _, _, parent in comments} <= set(tickets.values())
    assert len(comments) > 3 * len(tickets)


def test_a_large_world_is_streamed_block_by_block_with_other_people_in_each() -> None:
    world = World(people=4_100, shapes={"toy": build_shape(toy())})

    keys = [key for key, _, _ in world.payloads("toy", "people")]
    entities = {t.entity for t in world.truth("toy", "people")}

    assert len(set(keys)) == len(keys) == len(entities)
    assert 1_900 < len(keys) < 2_200
    assert len(list(islice(world.payloads("toy", "notes"), 5))) == 5


def test_a_world_of_a_wanted_size_has_that_many_person_records() -> None:
    world = world_of(6_000)

    count = sum(1 for name, shape in world.shapes.items() for s in person_streams(shape) for _ in world.truth(name, s))

    assert 5_800 < count < 6_200


def test_an_unknown_vendor_stream_or_defect_is_named(world: World) -> None:
    with pytest.raises(KeyError, match="no vendor 'nobody' in this world; known: "):
        list(world.payloads("nobody", "x"))
    with pytest.raises(KeyError, match="hubspot has no stream 'x'; known: contacts"):
        list(world.payloads("hubspot", "x"))
    with pytest.raises(ValueError, match="unknown dirt typos; known: typo"):
        Dirt.of({"typos": 1})


def test_acmes_managers_are_colleagues_and_nobody_is_above_himself(world: World) -> None:
    users = world.first_block.rows("acme", "users")
    managers, employers = users.link("manager").at, users.link("org").at
    led = [row for row, manager in enumerate(managers) if manager is not None]

    assert len(led) > 100
    assert all(employers[row] is not None and employers[row] == employers[managers[row]] for row in led)
    assert all(managers[row] < row for row in led)  # so there are no circles
    assert max(Counter(managers[row] for row in led).values()) <= 3


def test_a_part_of_acmes_users_states_how_to_be_contacted(world: World) -> None:
    said = [json.loads(payload)["contact"] for _, payload, _ in world.payloads("acme", "users")]
    told = [each for each in said if each is not None]

    assert 0.1 < len(told) / len(said) < 0.3
    for member in ("prefer", "call", "quiet", "mails_a_week"):
        assert 20 < sum(each[member] is not None for each in told) < len(told)
    assert all(each["changed"] for each in told)


def test_a_measured_world_is_of_vendors_that_exist(world: World) -> None:
    assert "acme" in world.shapes
    assert sorted(world_of(1_000).shapes) == ["hubspot", "klaviyo", "shopify", "typeform", "zendesk"]
