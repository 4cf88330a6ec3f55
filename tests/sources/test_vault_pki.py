"""The Vault source against a real OpenBao, and against one whose answers a proxy changes."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from cryptography import x509
from tests.servers.processes import free_port
from tests.servers.proxy import changed

from keymuster.errors import BadAnswer, Refused, Unreachable
from keymuster.model import Coverage, Problem, Record
from keymuster.normalise import normalise
from keymuster.sources.vault_pki import DELIVERS, Settings, collect

AS_OF = datetime(2026, 11, 23, tzinfo=UTC)


def of(items, table, role=None):
    return [i for i in items if isinstance(i, Record) and i.table == table and role in {None, i.attributes.get("role")}]


def problems(items):
    return [(i.code, i.locator) for i in items if isinstance(i, Problem)]


@pytest.fixture
def pki(openbao):
    mount = openbao.mount("pki")
    openbao.call("POST", f"{mount}/root/generate/internal", {"common_name": f"Root of {mount}", "ttl": "8760h", "key_type": "ec"})
    role = {"allowed_domains": "lab.test", "allow_subdomains": True, "key_type": "ec", "max_ttl": "720h"}
    openbao.call("POST", f"{mount}/roles/web", role)
    return mount


@pytest.fixture
def issue(openbao, pki):
    return lambda name="a": openbao.call("POST", f"{pki}/issue/web", {"common_name": f"{name}.lab.test"})["data"]


@pytest.fixture
def settings(openbao, pki):
    return Settings(url=openbao.url, token=openbao.token, mounts=(pki,))


def pick(items, serial):
    return next(r for r in of(items, "certificates") if r.locator.endswith(f"/cert/{serial}"))


def test_issued_and_revoked_certificates(openbao, pki, issue, settings):
    good, bad = issue("good"), issue("bad")
    revoked = openbao.call("POST", f"{pki}/revoke", {"serial_number": bad["serial_number"]})["data"]["revocation_time"]
    items = list(collect(settings))
    assert items[-1] == Coverage(expected=3, fetched=3)
    assert problems(items) == []
    kept = pick(items, good["serial_number"])
    assert kept.attributes == {"role": "issued", "revocation_status": "good", "revoked_at": None}
    assert x509.load_der_x509_certificate(kept.der) == x509.load_pem_x509_certificate(good["certificate"].encode())
    gone = pick(items, bad["serial_number"]).attributes
    assert gone["revocation_status"] == "revoked"
    assert gone["revoked_at"] == datetime.fromtimestamp(revoked, UTC)


def test_authority_list_and_issuances_join(pki, issue, settings, openbao):
    openbao.call("POST", f"{pki}/revoke", {"serial_number": issue()["serial_number"]})
    made = normalise(collect(settings), station="s", source="vault_pki", as_of=AS_OF, delivers=DELIVERS)
    assert made.problems == ()
    (authority,) = made.tables["authorities"].to_pylist()
    assert authority["subject"] == f"CN=Root of {pki}"
    assert set(made.tables["issuances"]["authority_asset_id"].to_pylist()) == {authority["asset_id"]}
    assert set(made.tables["issuances"]["certificate_asset_id"].to_pylist()) <= set(made.tables["certificates"]["asset_id"].to_pylist())
    (crl,) = made.tables["revocation_services"].to_pylist()
    assert crl["kind"] == "crl"
    assert crl["this_update_at"] is not None


def test_an_imported_ca_is_seen_though_the_listing_leaves_it_out(openbao, pki, settings):
    other = openbao.mount("pki")
    root = openbao.call("POST", f"{other}/root/generate/internal", {"common_name": "Imported", "ttl": "8760h", "key_type": "ec"})["data"]
    openbao.call("POST", f"{pki}/issuers/import/cert", {"pem_bundle": root["certificate"]})
    items = list(collect(settings))
    chain = [x509.load_der_x509_certificate(r.der).subject.rfc4514_string() for r in of(items, "certificates", "chain")]
    assert sorted(chain) == ["CN=Imported", f"CN=Root of {pki}"]
    assert len(of(items, "authorities")) == 1, "without its key it issues nothing here"


def test_an_empty_mount_is_complete_and_empty(openbao):
    items = list(collect(Settings(url=openbao.url, token=openbao.token, mounts=(openbao.mount("pki"),))))
    assert items == [Coverage(expected=0, fetched=0)]


def test_a_role_that_stores_nothing_makes_the_listing_incomplete(openbao, pki, settings):
    openbao.call("POST", f"{pki}/roles/ghost", {"allow_any_name": True, "key_type": "ec", "no_store": True})
    openbao.call("POST", f"{pki}/issue/ghost", {"common_name": "ghost.lab.test"})
    items = list(collect(settings))
    assert ("role_stores_nothing", None) in problems(items)
    assert items[-1] == Coverage(expected=1, fetched=1, truncated=True)


def always(status, body):
    return lambda *_: (status, body)


def cut(keep):
    def change(method, path, status, body):
        if path.partition("?")[0].endswith("/certs"):
            document = json.loads(body)
            document["data"]["keys"] = document["data"]["keys"][:keep]
            return status, json.dumps(document).encode()
        return status, body

    return change


def test_a_cut_listing_is_noticed_and_mended(openbao, pki, issue, settings):
    for name in "abc":
        issue(name)
    with changed(openbao.url, cut(2)) as url:
        items = list(collect(settings.model_copy(update={"url": url})))
    assert len(of(items, "certificates", "issued")) == 4
    assert items[-1].truncated
    assert [p[0] for p in problems(items)] == ["listing_cut", "listing_cut"]


def test_a_server_without_the_second_listing_is_no_error(openbao, issue, settings):
    issue()

    def vault(method, path, status, body):
        return (404, b'{"errors":["1 error occurred: unsupported path"]}') if "detailed" in path else (status, body)

    with changed(openbao.url, vault) as url:
        items = list(collect(settings.model_copy(update={"url": url})))
    assert items[-1] == Coverage(expected=2, fetched=2)


def test_a_server_of_before_the_issuers_still_shows_its_ca(openbao, pki, settings):
    def old(method, path, status, body):
        return (405, b'{"errors":["1 error occurred: unsupported operation"]}') if "/issuers" in path else (status, body)

    with changed(openbao.url, old) as url:
        items = list(collect(settings.model_copy(update={"url": url})))
    assert [r.locator for r in of(items, "authorities")] == [f"{pki}/ca/pem"]
    assert of(items, "revocation_services")[0].der
    assert items[-1].complete


def test_a_certificate_that_is_denied_is_counted(openbao, pki, issue, settings):
    serial = issue()["serial_number"]

    def deny(method, path, status, body):
        return (403, b'{"errors":["permission denied"]}') if path.endswith(serial) else (status, body)

    with changed(openbao.url, deny) as url:
        items = list(collect(settings.model_copy(update={"url": url})))
    assert problems(items) == [("certificate_refused", f"{pki}/cert/{serial}")]
    assert items[-1] == Coverage(expected=2, fetched=1, refused=1)


def test_a_server_that_dies_half_way_is_unreachable(openbao, issue, settings):
    serial = issue()["serial_number"]

    def die(method, path, status, body):
        return (503, b'{"errors":["Vault is sealed"]}') if path.endswith(serial) else (status, body)

    with changed(openbao.url, die) as url, pytest.raises(Unreachable, match="sealed"):
        list(collect(settings.model_copy(update={"url": url})))


def test_a_second_mount_that_is_missing_leaves_the_first(openbao, pki, settings):
    items = list(collect(settings.model_copy(update={"mounts": (pki, "nowhere")})))
    assert len(of(items, "certificates", "issued")) == 1
    assert problems(items) == [("mount_unreadable", None)]
    assert items[-1].truncated


def test_a_missing_mount_is_no_empty_one(settings):
    with pytest.raises(BadAnswer, match="nowhere/certs"):
        list(collect(settings.model_copy(update={"mounts": ("nowhere",)})))


def test_a_wrong_token_is_refused_and_not_shown(openbao, pki):
    with pytest.raises(Refused, match="403") as caught:
        list(collect(Settings(url=openbao.url, token="s.hunter2", mounts=(pki,))))
    assert "hunter2" not in str(caught.value)


def test_narrow_rights_are_said(openbao, pki, issue):
    issue()
    rules = f'path "{pki}/certs" {{ capabilities = ["list"] }}\npath "{pki}/cert/*" {{ capabilities = ["read"] }}'
    openbao.call("POST", f"sys/policies/acl/{pki}", {"policy": rules})
    token = openbao.call("POST", "auth/token/create", {"policies": [pki]})["auth"]["client_token"]
    items = list(collect(Settings(url=openbao.url, token=token, mounts=(pki,))))
    assert len(of(items, "certificates", "issued")) == 2
    assert {c for c, _ in problems(items)} == {"roles_unreadable", "issuer_unreadable"}, "OpenBao lets everybody list issuers"
    assert items[-1].truncated


@pytest.fixture
def approle(openbao, pki):
    mount = f"approle-{pki}"
    openbao.call("POST", f"sys/auth/{mount}", {"type": "approle"})
    openbao.call("POST", f"sys/policies/acl/{mount}", {"policy": f'path "{pki}/*" {{ capabilities = ["list", "read"] }}'})
    openbao.call("POST", f"auth/{mount}/role/reader", {"token_policies": [mount]})
    role = openbao.call("GET", f"auth/{mount}/role/reader/role-id")["data"]["role_id"]
    secret = openbao.call("POST", f"auth/{mount}/role/reader/secret-id")["data"]["secret_id"]
    return Settings(url=openbao.url, role_id=role, secret_id=secret, approle_mount=mount, mounts=(pki,))


def test_approle_signs_in_and_gives_its_token_back(openbao, approle):
    def accessors():
        return set(openbao.call("LIST", "auth/token/accessors")["data"]["keys"])

    before = accessors()
    items = list(collect(approle))
    assert items[-1] == Coverage(expected=1, fetched=1)
    assert accessors() == before


def test_a_wrong_secret_id_is_refused(approle):
    with pytest.raises(Refused, match="login") as caught:
        list(collect(approle.model_copy(update={"secret_id": type(approle.secret_id)("hunter2")})))
    assert "hunter2" not in str(caught.value)


def test_a_connection_with_login_and_password_is_an_approle():
    settings = Settings(url="http://127.0.0.1:1", role_id="r", token="s")
    assert (settings.token, settings.secret_id.get_secret_value()) == (None, "s")


def test_without_credentials_it_says_what_is_missing(openbao):
    with pytest.raises(Refused, match="role_id"):
        list(collect(Settings(url=openbao.url)))


def test_a_dead_server_is_unreachable():
    with pytest.raises(Unreachable, match="does not answer"):
        list(collect(Settings(url=f"http://127.0.0.1:{free_port()}", token="hunter2")))


def test_an_address_that_is_none():
    with pytest.raises(BadAnswer, match="no http or https address"):
        list(collect(Settings(url="vault.example.com", token="t")))


@pytest.mark.server("nginx")
def test_something_else_than_vault_is_a_bad_answer(nginx):
    settings = Settings(url=f"https://localhost:{nginx.port}", token="t", ca_bundle=nginx.tls.ca)
    with pytest.raises(BadAnswer, match="no JSON object"):
        list(collect(settings))


@pytest.mark.server("nginx")
def test_an_untrusted_server_gets_no_token(nginx):
    with pytest.raises(Refused, match="not trusted"):
        list(collect(Settings(url=f"https://localhost:{nginx.port}", token="t")))


def test_a_redirect_is_not_followed(openbao, settings):
    with changed(openbao.url, always(307, b"")) as url, pytest.raises(BadAnswer):
        list(collect(settings.model_copy(update={"url": url})))


def test_hostile_answers_are_bad_answers(openbao, settings):
    for body in (b"[]", b"{", b'{"data": []}', b'{"data": {"keys": "abc"}}', b'{"data": {"keys": [1]}}', b"\xff" * 100):
        with changed(openbao.url, always(200, body)) as url, pytest.raises(BadAnswer):
            list(collect(settings.model_copy(update={"url": url})))


def test_transit_keys(openbao):
    mount = openbao.mount("transit")
    kinds = {
        "aes": {"type": "aes256-gcm96", "auto_rotate_period": "720h"},
        "ec": {"type": "ecdsa-p256", "exportable": True},
        "ed": {"type": "ed25519"},
        "mac": {"type": "hmac", "key_size": 32},
        "rsa": {"type": "rsa-2048"},
    }
    for name, body in kinds.items():
        openbao.call("POST", f"{mount}/keys/{name}", body)
    openbao.call("POST", f"{mount}/keys/aes/rotate")
    items = list(collect(Settings(url=openbao.url, token=openbao.token, mounts=(), transit_mounts=(mount,))))
    assert problems(items) == []
    assert items[-1] == Coverage(expected=5, fetched=5)
    made = normalise(items, station="s", source="vault_pki", as_of=AS_OF, delivers=DELIVERS)
    rows = {r["locator"].rpartition("/")[2]: r for r in made.tables["keys"].to_pylist()}
    shown = {n: (r["kind"], r["key_algorithm"], r["key_bits"], r["is_exportable"], r["rotation_period_days"]) for n, r in rows.items()}
    assert shown == {
        "aes": ("symmetric", "AES", 256, False, 30),
        "ec": ("private", "EC", 256, True, None),
        "ed": ("private", "Ed25519", rows["ed"]["key_bits"], False, None),
        "mac": ("hmac", "HMAC", 256, False, None),
        "rsa": ("private", "RSA", 2048, False, None),
    }
    assert [n for n, r in rows.items() if not r["created_at"]] == ["mac"], "the API tells no date of HMAC keys"
    assert rows["aes"]["is_rotation_enabled"] is True
