"""Names and values of a query or a form, as bytes: signatures are made over these, in whatever character set."""

from urllib.parse import unquote_to_bytes

from sources.webhooks.delivery import Delivery, RefusedError

Parameters = dict[bytes, bytes]
FORM = "application/x-www-form-urlencoded"


def parse(text: bytes) -> Parameters:
    """``a=1&b=2``, percent signs and plus signs undone.

    Raises RefusedError for a name that stands there twice: signer and reader might take different ones.
    """
    found: Parameters = {}
    for pair in text.split(b"&"):
        if pair:
            name, _, value = pair.replace(b"+", b" ").partition(b"=")
            key = unquote_to_bytes(name)
            if key in found:
                raise RefusedError(400, "ambiguous", "a parameter stands there twice")
            found[key] = unquote_to_bytes(value)
    return found


def is_form(delivery: Delivery) -> bool:
    """Whether the body holds parameters."""
    return delivery.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


def merged(query: Parameters, form: Parameters) -> Parameters:
    """Both together; raises RefusedError for a name in both."""
    if query.keys() & form.keys():
        raise RefusedError(400, "ambiguous", "a parameter stands in the query and in the body")
    return query | form
