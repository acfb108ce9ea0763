import re
import secrets
import urllib.error
import urllib.parse
import urllib.request


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like others: following it could take a key to another machine."""

    def redirect_request(self, *arguments):
        return None


OPENER = urllib.request.build_opener(NoRedirects)
# Stands for a secret while templates are rendered. No value can contain it, so none can ask for a secret.
SECRET_MARK = secrets.token_hex(16)


def quoted_address(address):
    return urllib.parse.quote(address.strip(), safe="%/:=&?~#+!$,;'@()*[]")


def status_details(status, headers):
    text = (headers.get("Retry-After") or "").strip()
    wait = {"retry_after_ms": int(float(text) * 1000)} if re.fullmatch(r"[0-9]{1,5}(\.[0-9]+)?", text) else {}
    return {"status": status, **wait}
