"""The invented internet that synthetic logs come from: networks, who runs them and where, and addresses in them.

Belongs here: how prefixes, origin ASNs, organizations and places are made up, and how addresses are drawn from them.
Does not belong here: what an address does (synthetic_sessions.py), lookup databases (enrichment/made_geoip.py).

The prefixes lie in public space, since the pipeline rightly refuses to look up bogons. They are drawn at random, and
what is said about them is invented: no network here says anything about whoever really holds that prefix or ASN.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network
from itertools import accumulate

__all__ = ["SyntheticNetwork", "draw_addresses", "make_networks"]


@dataclass(frozen=True, slots=True)
class SyntheticNetwork:
    """A made-up announced prefix: its origin AS, and the place it is said to be in.

    `country` is an ISO 3166-1 alpha-2 code. `city` is empty where only the country is known, as in real databases;
    `latitude` and `longitude` are degrees.
    """

    prefix: str
    asn: int
    organization: str
    country: str
    city: str
    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class _Operator:
    asn: int
    organization: str
    country: str
    abroad: bool


# Country, its share of attacking networks (heavy-tailed, as in every honeypot's statistics), its centre and cities.
_COUNTRIES: tuple[tuple[str, float, tuple[float, float], tuple[tuple[str, float, float], ...]], ...] = (
    ("US", 20, (37.751, -97.822), (("Ashburn", 39.0469, -77.4903), ("Dallas", 32.7889, -96.8021))),
    ("CN", 17, (34.7732, 113.722), (("Beijing", 39.911, 116.395), ("Hangzhou", 30.2943, 120.1663))),
    ("DE", 8, (51.2993, 9.491), (("Frankfurt am Main", 50.1109, 8.6821), ("Nürnberg", 49.4527, 11.0783))),
    ("IN", 7, (21.9974, 79.0011), (("Mumbai", 19.0748, 72.8856), ("Bengaluru", 12.9634, 77.5855))),
    ("SG", 6, (1.3673, 103.8014), (("Singapore", 1.2868, 103.8503),)),
    ("NL", 5, (52.3824, 4.8995), (("Amsterdam", 52.3759, 4.8975), ("Haarlem", 52.3808, 4.6368))),
    ("BR", 5, (-22.8305, -43.2192), (("São Paulo", -23.5475, -46.6361), ("Fortaleza", -3.7227, -38.5247))),
    ("VN", 4, (16.0, 106.0), (("Hanoi", 21.0292, 105.8526), ("Da Nang", 16.0685, 108.2215))),
    ("RU", 4, (55.7386, 37.6068), (("Moscow", 55.7483, 37.6171), ("Kazan", 55.7887, 49.1221))),
    ("KR", 3.5, (37.5112, 126.9741), (("Seoul", 37.5576, 126.9937), ("Busan", 35.1028, 129.0403))),
    ("ID", 3, (-6.175, 106.8286), (("Jakarta", -6.2114, 106.8446), ("Surabaya", -7.2484, 112.7419))),
    ("FR", 3, (48.8582, 2.3387), (("Paris", 48.8323, 2.4075), ("Roubaix", 50.6974, 3.178))),
    ("GB", 2.5, (51.4964, -0.1224), (("London", 51.5085, -0.1257), ("Manchester", 53.481, -2.2374))),
    ("HK", 2.5, (22.2578, 114.1657), (("Hong Kong", 22.2842, 114.1759),)),
    ("JP", 2, (35.69, 139.69), (("Tokyo", 35.6893, 139.6899), ("Osaka", 34.6946, 135.5021))),
    ("TW", 1.5, (23.5, 121.0), (("Taipei", 25.0504, 121.5324),)),
    ("IR", 1.2, (35.698, 51.4115), (("Tehran", 35.6892, 51.3890),)),
    ("TR", 1, (41.0214, 28.9948), (("Istanbul", 41.0138, 28.9497),)),
    ("UA", 1, (50.4522, 30.5287), (("Kyiv", 50.458, 30.5303),)),
    ("CA", 1, (43.6319, -79.3716), (("Toronto", 43.6547, -79.3623), ("Montréal", 45.5075, -73.5887))),
    ("MX", 0.8, (19.4371, -99.013), (("Mexico City", 19.4285, -99.1277),)),
    ("IT", 0.8, (43.1479, 12.1097), (("Milan", 45.4722, 9.1922),)),
    ("PL", 0.7, (52.2394, 21.0362), (("Warsaw", 52.2296, 21.0067),)),
    ("TH", 0.7, (13.7442, 100.4608), (("Bangkok", 13.7512, 100.5172),)),
    ("RO", 0.6, (45.9968, 24.997), (("Bucharest", 44.4176, 26.1708),)),
    ("ZA", 0.5, (-28.9984, 23.9888), (("Johannesburg", -26.2309, 28.0583),)),
    ("AR", 0.5, (-34.6022, -58.3845), (("Buenos Aires", -34.6142, -58.3811),)),
    ("EG", 0.4, (30.0355, 31.223), (("Cairo", 30.0588, 31.2268),)),
    ("NG", 0.3, (6.4474, 3.3903), (("Lagos", 6.4474, 3.3903),)),
    ("SE", 0.3, (59.3247, 18.056), (("Stockholm", 59.3293, 18.0686),)),
)
_BY_CODE = {code: (centre, cities) for code, _, centre, cities in _COUNTRIES}
_CODES = tuple(_BY_CODE)
_COUNTRY_WEIGHTS = tuple(accumulate(weight for _, weight, _, _ in _COUNTRIES))

# Whimsical on purpose: a name that could be some company's would accuse it.
_FIRST_SYLLABLES = (
    *("Wobble", "Glimmer", "Snorkel", "Thistle", "Marzipan", "Pumpernickel", "Quibble", "Bramble", "Noodle", "Tinsel"),
    *("Gherkin", "Muffin", "Pebble", "Crumpet", "Dandelion", "Waffle", "Teapot", "Turnip", "Bumble", "Flümmel"),
    *("Kettle", "Sprocket", "Walrus", "Ferret", "Mitten", "Pickle", "Raisin", "Sorrel", "Toffee", "Zépline"),
)
_LAST_SYLLABLES = (
    *("fen", "fjord", "moor", "quartz", "wick", "hollow", "barrow", "spire", "brook", "thorpe", "gate", "dale"),
    *("holm", "ridge", "mere", "cairn", "burrow", "shire", "haven", "crag", "marsh", "combe", "stead", "glen"),
)
# What the operator is, how common such operators are among attackers, and whether its networks may lie abroad.
_OPERATOR_KINDS: tuple[tuple[str, float, bool], ...] = (
    ("{name} Hosting Ltd", 20, True),
    ("{name} Cloud, Inc.", 18, True),
    ("{name} Servers B.V.", 8, True),
    ("{name} Telecom", 16, False),
    ("{name} Broadband", 12, False),
    ("{name} Cable & Fibre", 8, False),
    ("{name} Mobile JSC", 6, False),
    ("University of {name}", 5, False),
    ('"{name}" Research Network', 2, False),
    ("National Post of {name}", 1, False),
)
_KIND_WEIGHTS = tuple(accumulate(weight for _, weight, _ in _OPERATOR_KINDS))

# First octets without any special-purpose block (IANA IPv4 Special-Purpose Address Registry), so that whatever is cut
# out of them is global unicast.
_FIRST_OCTETS = tuple(octet for octet in range(1, 224) if octet not in (10, 100, 127, 169, 172, 192, 198, 203))
_PREFIX_LENGTHS = (16, 17, 18, 19, 20, 21, 22, 23, 24)
_PREFIX_WEIGHTS = tuple(accumulate((1, 1, 1, 2, 3, 3, 5, 4, 8)))
_MAXIMUM_NETWORKS = len(_FIRST_OCTETS) * 256
_IPV6_NETWORK_SHARE = 0.05
_NETWORKS_PER_OPERATOR = 2.5
# No network is more than this many times as likely as the least likely, or one would drown all others.
_MAXIMUM_POPULARITY = 60.0


def make_networks(seed: int, count: int, *, with_ipv6: bool) -> tuple[SyntheticNetwork, ...]:
    """Make up `count` networks that do not overlap, and a few IPv6 ones among them if asked.

    Several networks share an operator, as in the routing table. Of the operators about one in twenty has an ASN above
    2^31, so that a column of signed 32 bits fails early.

    Raises:
        ValueError: `count` is not between 1 and what the address space chosen here can hold.
    """
    if not 1 <= count <= _MAXIMUM_NETWORKS:
        raise ValueError(f"the number of networks must be 1 to {_MAXIMUM_NETWORKS}, not {count}")
    rng = random.Random(f"{seed}/networks")  # noqa: S311 - repeatable test data, no secret
    operators = _make_operators(rng, max(1, round(count / _NETWORKS_PER_OPERATOR)))
    ipv6_count = max(1, round(count * _IPV6_NETWORK_SHARE)) if with_ipv6 else 0
    prefixes = [*_ipv4_prefixes(rng, max(1, count - ipv6_count)), *_ipv6_prefixes(rng, ipv6_count)]
    # A few operators hold most of the networks.
    popularity = tuple(accumulate(_popularity(rng) for _ in operators))
    chosen = rng.choices(operators, cum_weights=popularity, k=len(prefixes))
    return tuple(_make_network(rng, prefix, operator) for prefix, operator in zip(prefixes, chosen, strict=True))


def draw_addresses(
    seed: int, networks: Sequence[SyntheticNetwork], count: int, *, ipv6_share: float
) -> tuple[str, ...]:
    """Draw `count` different addresses from `networks`, `ipv6_share` of them from the IPv6 ones.

    Raises:
        ValueError: the IPv4 networks are too small to hold so many addresses without being scanned whole.
    """
    rng = random.Random(f"{seed}/addresses")  # noqa: S311 - repeatable test data, no secret
    ipv4 = [ip_network(network.prefix) for network in networks if ":" not in network.prefix]
    ipv6 = [ip_network(network.prefix) for network in networks if ":" in network.prefix]
    ipv6_count = round(count * ipv6_share) if ipv6 else 0
    room = sum(network.num_addresses for network in ipv4) // 4
    if count - ipv6_count > room:
        raise ValueError(
            f"{len(ipv4)} IPv4 networks have room for {room} addresses, not {count - ipv6_count}: add some"
        )
    drawn: dict[str, None] = {}
    for family, wanted in ((ipv4, count - ipv6_count), (ipv6, count)):
        if not family:
            continue
        weights = tuple(accumulate(_popularity(rng) for _ in family))
        while len(drawn) < wanted:
            for network in rng.choices(family, cum_weights=weights, k=wanted - len(drawn)):
                base = int(network.network_address)
                if network.version == 4:
                    drawn[str(IPv4Address(base + rng.randrange(1, network.num_addresses - 1)))] = None
                else:
                    # Hosts sit in /64 subnets, under an interface id that is either short or random.
                    subnet = rng.getrandbits(24) << 64
                    host = rng.randrange(1, 4096) if rng.random() < 0.5 else rng.getrandbits(64)
                    drawn[str(IPv6Address(base + subnet + host))] = None
    addresses = list(drawn)
    # An address's rank decides how active it is, and the families must share the ranks.
    rng.shuffle(addresses)
    return tuple(addresses)


def _popularity(rng: random.Random) -> float:
    return min(rng.paretovariate(1.1), _MAXIMUM_POPULARITY)


def _make_operators(rng: random.Random, count: int) -> list[_Operator]:
    operators = []
    asns = _asns(rng, count)
    kinds = rng.choices(_OPERATOR_KINDS, cum_weights=_KIND_WEIGHTS, k=count)
    for asn, (pattern, _, abroad) in zip(asns, kinds, strict=True):
        name = rng.choice(_FIRST_SYLLABLES) + rng.choice(_LAST_SYLLABLES)
        operators.append(_Operator(asn, pattern.format(name=name), _country(rng), abroad))
    return operators


def _asns(rng: random.Random, count: int) -> list[int]:
    """Draw different public ASNs: of 16 bits, of 32 bits, and beyond 2^31 (no reserved or private ones, RFC 7607)."""
    asns: dict[int, None] = {}
    while len(asns) < count:
        kind = rng.random()
        if len(asns) == 0 or kind < 0.05:
            asns[rng.randrange(2**31 + 1, 4_199_999_999)] = None
        elif kind < 0.45:
            asns[rng.randrange(131_072, 401_309)] = None
        else:
            asn = rng.randrange(1_000, 64_000)
            if asn != 23_456:  # AS_TRANS (RFC 6793)
                asns[asn] = None
    return list(asns)


def _country(rng: random.Random) -> str:
    return rng.choices(_CODES, cum_weights=_COUNTRY_WEIGHTS)[0]


def _ipv4_prefixes(rng: random.Random, count: int) -> list[str]:
    """Cut one prefix out of each of `count` different /16 blocks, so that none overlap."""
    prefixes = []
    for slot in rng.sample(range(len(_FIRST_OCTETS) * 256), count):
        length = rng.choices(_PREFIX_LENGTHS, cum_weights=_PREFIX_WEIGHTS)[0]
        block = (_FIRST_OCTETS[slot // 256] << 24) | (slot % 256 << 16)
        offset = rng.getrandbits(length - 16) << (32 - length)
        prefixes.append(f"{IPv4Address(block | offset)}/{length}")
    return prefixes


def _ipv6_prefixes(rng: random.Random, count: int) -> list[str]:
    """Cut different /32 prefixes out of 2a00::/12, the RIPE NCC's global unicast block."""
    return [f"{IPv6Address((0x2A000000 + slot) << 96)}/32" for slot in rng.sample(range(1 << 20), count)]


def _make_network(rng: random.Random, prefix: str, operator: _Operator) -> SyntheticNetwork:
    country = _country(rng) if operator.abroad and rng.random() < 0.3 else operator.country
    centre, cities = _BY_CODE[country]
    city, latitude, longitude = rng.choice(cities) if rng.random() < 0.85 else ("", *centre)
    return SyntheticNetwork(prefix, operator.asn, operator.organization, country, city, latitude, longitude)
