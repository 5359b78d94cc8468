"""A network as one document with docker's field names, as `network inspect` and the Engine API show it. In: values; out: plain data."""

from runner.agent.form import Member
from runner.moment import time_text
from runner.network import NetworkRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


def document(record: NetworkRecord, members: "Iterable[Member]" = ()) -> "dict[str, Any]":
    """members: all that there are; those on this network are shown."""
    spec = record.spec
    pools = [{"Subnet": pool.subnet, **({"IPRange": pool.ip_range} if pool.ip_range else {}), **({"Gateway": pool.gateway} if pool.gateway else {}),
              **({"AuxiliaryAddresses": dict(pool.aux_addresses)} if pool.aux_addresses else {})} for pool in spec.pools]
    return {
        "Name": spec.name, "Id": record.id, "Created": time_text(record.created), "Scope": "local", "Driver": spec.driver,
        "EnableIPv4": spec.ipv4, "EnableIPv6": spec.ipv6,
        "IPAM": {"Driver": spec.ipam_driver or "default", "Options": dict(spec.ipam_options) or None, "Config": pools},
        "Internal": spec.internal, "Attachable": spec.attachable, "Ingress": False, "ConfigFrom": {"Network": ""}, "ConfigOnly": False,
        "Containers": _containers(record, members), "Options": dict(spec.options), "Labels": dict(spec.labels)}


def _containers(record: NetworkRecord, members: "Iterable[Member]") -> "dict[str, Any]":
    found = {}
    for member in members:
        for one in member.connections:
            if one.network_id == record.id and not member.build:
                found[member.container] = {
                    "Name": member.membership.name, "EndpointID": one.endpoint_id, "MacAddress": one.mac_address,
                    "IPv4Address": f"{one.ipv4_address}/{one.ipv4_prefix}" if one.ipv4_address else "",
                    "IPv6Address": f"{one.ipv6_address}/{one.ipv6_prefix}" if one.ipv6_address else ""}
    return found
