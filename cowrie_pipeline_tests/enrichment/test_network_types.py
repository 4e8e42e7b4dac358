"""What kind of network an AS number is: by number, by list, by whole words of a name, and why."""

import csv
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.enrichment.merge import IpType
from cowrie_pipeline.enrichment.network_types import NetworkType, first_type, ip_type_of, read_network_rules

RULES, OTHER_RULES = read_network_rules(), read_network_rules()
FILE = tomllib.loads(
    resources.files("cowrie_pipeline.enrichment").joinpath("network_types.toml").read_text(encoding="utf-8")
)
# of nobody that the rules know
NOBODY = 4_100_000_000


def type_of(name: str | None, asn: int = NOBODY) -> str:
    return RULES.classify(asn, name).asn_type.value


# ---- known AS numbers


@pytest.mark.parametrize(
    ("asn", "asn_type"),
    [
        (16509, "CLOUD"),
        (14618, "CLOUD"),
        (8075, "CLOUD"),
        (15169, "CLOUD"),
        (396982, "CLOUD"),
        (45102, "CLOUD"),
        (37963, "CLOUD"),
        (132203, "CLOUD"),
        (45090, "CLOUD"),
        (14061, "HOSTING"),
        (16276, "HOSTING"),
        (24940, "HOSTING"),
        (63949, "HOSTING"),
        (20473, "HOSTING"),
        (4134, "ISP"),
        (4837, "ISP"),
        (7922, "ISP"),
        (3320, "ISP"),
        (209103, "VPN"),
        (680, "EDUCATION"),
        (721, "GOVERNMENT"),
        (2906, "ENTERPRISE"),
    ],
)
def test_a_known_number_decides_whatever_the_name_says(asn: int, asn_type: str) -> None:
    for name in (None, "", "University of Hosting", "Telecom VPN Cloud"):
        found = RULES.classify(asn, name)
        assert found.asn_type.value == asn_type
        assert re.fullmatch(r"known: .+ \(.+\)", found.basis)
        assert found.is_known_hosting is (asn_type in ("HOSTING", "CLOUD"))
        assert found.is_known_vpn is (asn_type == "VPN")


def test_every_rule_has_a_reason_and_a_source_and_no_number_stands_twice() -> None:
    for entry in (*FILE["known"], FILE["words"], *FILE["name"]):
        assert entry["reason"].strip()
        assert entry["source"].strip()
    numbers = [asn for entry in FILE["known"] for asn in entry["asns"]]
    assert len(set(numbers)) == len(numbers) > 100
    assert {entry["type"] for entry in FILE["known"]} == {*NetworkType} - {"UNKNOWN"}
    assert {entry["type"] for entry in FILE["name"]} == {*NetworkType} - {"UNKNOWN"}


def test_no_word_of_the_file_is_hidden_behind_an_entry_before_it() -> None:
    """A word that stands twice says nothing the second time."""
    words = [word for entry in FILE["name"] for word in entry["words"]]
    assert sorted({word for word in words if words.count(word) > 1}) == []
    for entry in FILE["name"]:
        for word in entry["words"]:
            assert type_of(word) != "UNKNOWN", word


# ---- names


@pytest.mark.parametrize(
    ("name", "asn_type"),
    [
        # the two that the rule was written for
        ("Cloudy Bay School District", "EDUCATION"),
        ("Education First Hosting Ltd", "HOSTING"),
        # look-alikes: a word within a word is none
        ("Ghost Telecom", "ISP"),
        ("Ghostly Networks", "UNKNOWN"),
        ("Clouditalia Telecomunicazioni S.p.A.", "ISP"),
        ("Cloudbreak Wines", "UNKNOWN"),
        ("Universal Telecom", "ISP"),
        ("Universal Music", "UNKNOWN"),
        ("Governors Hosting", "HOSTING"),
        ("Governors Club", "UNKNOWN"),
        ("Telecommunity Radio", "UNKNOWN"),
        ("Bankside Networks", "UNKNOWN"),
        ("Schoolhouse Brewing", "UNKNOWN"),
        ("Banking on Steelworks", "UNKNOWN"),
        ("Serverus Snape Ltd", "UNKNOWN"),
        ("Vpnet LLC", "UNKNOWN"),
        ("Hostinger International Limited", "HOSTING"),
        ("Orange County", "UNKNOWN"),
        # the name of a place
        ("St. Cloud State University", "EDUCATION"),
        ("Cloud County Community College", "EDUCATION"),
        ("St. Cloud Telephone", "ISP"),
        ("City of Saint Cloud", "GOVERNMENT"),
        # what is sold comes before what it is named after, and what an institution is before both
        ("University Hosting Ltd", "HOSTING"),
        ("Bank Cloud Services", "CLOUD"),
        ("Telecom Cloud Ltd", "CLOUD"),
        ("Academy Telecom", "ISP"),
        ("Ministry of Telecommunications", "GOVERNMENT"),
        ("Beijing University of Posts and Telecommunications", "EDUCATION"),
        ("National Data Center, Ministry of Interior", "GOVERNMENT"),
        ("University Data Center", "EDUCATION"),
        ("State of the Art Telecom", "ISP"),
        # tunnels that are sold to everybody, and lines of companies
        ("Quick VPN Ltd", "VPN"),
        ("BT IP-VPN backbone", "ISP"),
        ("MPLS VPN of somebody", "UNKNOWN"),
        # case and punctuation
        ("HOSTING", "HOSTING"),
        ("web-hosting", "HOSTING"),
        ("AS_VPS_GROUP", "HOSTING"),
        ("T-MOBILE-AS21928", "ISP"),
        ("(Hosting)", "HOSTING"),
        ("Hosting, Inc.", "HOSTING"),
        ("DATA-CENTER", "HOSTING"),
        ("data.center", "HOSTING"),
        # other languages, with and without their letters
        ("Universität Wien", "EDUCATION"),
        ("UNIVERSITAET WIEN", "EDUCATION"),
        ("Université de Genève", "EDUCATION"),
        ("Universidad Nacional Autónoma de México", "EDUCATION"),
        ("Universidade de São Paulo", "EDUCATION"),
        ("Università degli Studi di Milano", "EDUCATION"),
        ("Moskovskiy Gosudarstvenny Universitet", "EDUCATION"),
        ("Московский университет", "EDUCATION"),
        ("Uniwersytet Warszawski", "EDUCATION"),
        ("Hochschule München", "EDUCATION"),
        ("Qinghua Daxue", "EDUCATION"),
        ("Ministerio de Educación", "GOVERNMENT"),
        ("Ministère de l'Intérieur", "GOVERNMENT"),
        ("Bundesministerium des Innern", "GOVERNMENT"),
        ("Ministerstvo oborony", "GOVERNMENT"),
        ("Prefeitura Municipal de Curitiba", "GOVERNMENT"),
        ("Ayuntamiento de Madrid", "GOVERNMENT"),
        ("Gobierno de Chile", "GOVERNMENT"),
        ("Telecomunicaciones de México", "ISP"),
        ("Telecomunicações Brasil Ltda", "ISP"),
        ("Provedor de Internet Ltda", "ISP"),
        ("Stadtwerke Köln Telekommunikation", "ISP"),
        ("Новый Телеком", "ISP"),
        ("OOO Svyaz Telekom", "ISP"),
        ("Zhongguo Dianxin", "ISP"),
        ("Hébergement Web SARL", "HOSTING"),
        ("Hospedagem de Sites", "HOSTING"),
        ("Rechenzentrum Nord", "HOSTING"),
        ("Banco do Brasil", "ENTERPRISE"),
        ("Sparkasse Köln", "ENTERPRISE"),
        ("Assurances Générales", "ENTERPRISE"),
        ("School of Rock Inc", "EDUCATION"),
        # nothing to go by
        ("Google LLC", "UNKNOWN"),
        ("AS4100000000", "UNKNOWN"),
        ("...", "UNKNOWN"),
        ("中国", "UNKNOWN"),
    ],
)
def test_whole_words_of_a_name_decide(name: str, asn_type: str) -> None:
    found = RULES.classify(NOBODY, name)
    assert found.asn_type.value == asn_type, found.basis
    # a name proves nothing
    assert (found.is_known_hosting, found.is_known_vpn) == (None, None)
    if asn_type != "UNKNOWN":
        assert re.fullmatch(r'name: "[^"]+" \(.+\)', found.basis)


def test_what_nothing_is_known_of_is_unknown_and_says_why() -> None:
    assert RULES.classify(NOBODY, "Acme").basis == "no rule matched the name"
    for nothing in (None, ""):
        assert RULES.classify(NOBODY, nothing).basis == "no rule matched, and no name is known"


@given(st.text(max_size=60), st.sampled_from([" ", "-", ", ", "/"]), st.text(max_size=60))
def test_a_seller_of_hosting_is_one_whatever_stands_around_it(before: str, mark: str, after: str) -> None:
    assert type_of(f"{before}{mark}hosting{mark}{after}") in ("HOSTING", "VPN")


@given(st.none() | st.text(max_size=800), st.integers(1, 2**32 - 1))
def test_every_network_has_a_type_and_a_basis(name: str | None, asn: int) -> None:
    found = RULES.classify(asn, name)
    assert found.asn_type in NetworkType
    assert found.basis
    assert RULES.classify(asn, name) == found == OTHER_RULES.classify(asn, name)


@given(st.sampled_from([word for entry in FILE["name"] for word in entry["words"]]))
def test_letters_around_a_word_make_it_another(word: str) -> None:
    assert type_of(f"q{word}q".replace(" ", "q")) == "UNKNOWN"


# ---- lists


def lists(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def classified(folder: Path, asn: int, name: str | None = None) -> tuple[Any, ...]:
    return tuple(read_network_rules(folder).classify(asn, name))


def test_a_list_counts_after_a_known_number_and_before_a_name(tmp_path: Path) -> None:
    folder = lists(tmp_path / "lists", mine="asn,type\n64999,hosting\nAS65010,isp\n16509,isp\n")
    rules = read_network_rules(folder)
    assert rules.findings == ()
    assert classified(folder, 64999, "University of X") == ("HOSTING", "list: mine.csv says 'hosting'", True, False)
    assert classified(folder, 65010, "VPN Hosting") == ("ISP", "list: mine.csv says 'isp'", False, False)
    assert rules.classify(16509, None).basis.startswith("known: ")


@pytest.mark.parametrize(
    ("text", "asn_type"),
    [
        ("asn,name,info_type\n7,X,NSP\n", "ISP"),
        ("asn,name,info_type\n7,X,Cable/DSL/ISP\n", "ISP"),
        ("asn,name,info_type\n7,X,Educational/Research\n", "EDUCATION"),
        ("asn,name,info_type\n7,X,Content\n", "UNKNOWN"),
        ("asn,name,info_type\n7,X,\n", "UNKNOWN"),
        ("asn,name,class,cc\nAS7,X,Eyeball,US\n", "ISP"),
        ('ASN,"Type"\n"as7"," VPN "\n', "VPN"),
        ("\ufeffasn,type\r\n7,cloud\r\n", "CLOUD"),
        ("asn,type\n7,government\n7,isp\n", "GOVERNMENT"),
    ],
)
def test_lists_are_read_in_the_words_of_their_registries(tmp_path: Path, text: str, asn_type: str) -> None:
    folder = lists(tmp_path / "lists", list=text)
    assert read_network_rules(folder).findings == ()
    assert classified(folder, 7)[0] == asn_type


def test_a_list_without_a_type_is_named_after_it_and_the_first_list_that_names_a_network_decides(
    tmp_path: Path,
) -> None:
    folder = lists(tmp_path / "lists", vpn="asn,name\nAS7,Seven\n", uni="asn\n7\n8\n")
    assert classified(folder, 7)[:2] == ("EDUCATION", "list: uni.csv says 'uni'")
    assert classified(folder, 8)[0] == "EDUCATION"


def test_lines_that_cannot_be_read_are_counted_and_the_others_used(tmp_path: Path) -> None:
    text = 'asn,type\n7,vpn\nnonsense,vpn\n9,nonsense\n\n0,isp\n10\n99999999999,isp\n8,"isp\n'
    folder = lists(tmp_path / "lists", mine=text)
    rules = read_network_rules(folder)
    assert rules.classify(7, None).asn_type is NetworkType.VPN
    (finding,) = rules.findings
    assert "no AS number in 3" in finding.found
    assert "no type that is known in 2" in finding.found
    assert "line 3, 4, 6" in finding.advice


def test_what_is_no_list_is_a_finding_and_never_an_error(tmp_path: Path) -> None:
    folder = lists(tmp_path / "lists", good="asn,type\n7,vpn\n", mine="hello\nworld\n", nothing="")
    (folder / "bytes.csv").write_bytes(b"asn,type\n\xff\xfe\x00,vpn\n8,isp\n")
    (folder / "wide.csv").write_text("asn,type\n" + "x" * (csv.field_size_limit() + 1) + ",vpn\n", encoding="ascii")
    (folder / "notes.txt").write_text("no list", encoding="ascii")
    (folder / "folder.csv").mkdir()
    rules = read_network_rules(folder)
    assert (rules.classify(7, None).asn_type, rules.classify(8, None).asn_type) == ("VPN", "ISP")
    assert sorted(Path(finding.where).name for finding in rules.findings) == [
        "bytes.csv",
        "mine.csv",
        "nothing.csv",
        "wide.csv",
    ]


@pytest.mark.parametrize("kind", ["missing", "empty", "file"])
def test_a_folder_that_is_none_is_a_finding(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "lists"
    if kind == "empty":
        folder.mkdir()
    if kind == "file":
        folder.write_text("asn,type\n", encoding="ascii")
    (finding,) = read_network_rules(folder).findings
    assert finding.where == str(folder)
    assert "COWRIE_ASN_TYPES_DIR" in str(finding)
    assert read_network_rules(folder).classify(16509, None).asn_type is NetworkType.CLOUD


# ---- the type of an address


def test_what_a_network_says_of_its_addresses() -> None:
    said = {kind: ip_type_of(kind) for kind in NetworkType}
    assert {kind: of_address for kind, of_address in said.items() if of_address} == {
        NetworkType.HOSTING: IpType.DATACENTER,
        NetworkType.CLOUD: IpType.DATACENTER,
        NetworkType.VPN: IpType.VPN,
    }
    assert ip_type_of(None) is ip_type_of("nonsense") is None


@pytest.mark.parametrize("said", [None, *IpType])
@pytest.mark.parametrize("of_network", [None, IpType.VPN, IpType.DATACENTER])
def test_of_what_sources_and_network_say_the_first_kind_counts(said: IpType | None, of_network: IpType | None) -> None:
    both = [kind for kind in IpType if kind in (said, of_network)]
    assert first_type(said, of_network) is (both[0] if both else None)
