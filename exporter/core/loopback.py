"""Whether a host is this machine: what goes there leaves it neither in plain text nor through a proxy."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether *host*, a name or an address, is a loopback one."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
