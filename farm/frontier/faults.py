"""Classifies the errors of Redis and of TLS: transient or final, with a sentence for users.

No error of redis-py leaves the package, and no message contains a password.
"""

import os
import re
import ssl

from redis import exceptions as redis_errors

from farm.model.errors import (
    CrawlGone,
    CrawlUnreadable,
    FarmError,
    FrontierUnavailable,
    FrontierUnwritable,
    UsageError,
)


class NeverSent(redis_errors.ConnectionError):
    """No connection could be made: no server has received the call."""


FOREIGN = (redis_errors.RedisError, redis_errors.RedisClusterException, OSError, TimeoutError)
"""Errors that a call to redis-py can raise."""

_PASSING = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ReadOnlyError,
    redis_errors.OutOfMemoryError,
    redis_errors.ClusterDownError,
    redis_errors.TryAgainError,
    # MOVED as well, and what redis-py says when it was sent on too often.
    redis_errors.AskError,
    redis_errors.ClusterError,
    redis_errors.SlotNotCoveredError,
    OSError,
    TimeoutError,
)
_STALE_MASTER = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ReadOnlyError,
    OSError,
    TimeoutError,
)
_NOT_RUN = (
    NeverSent,
    redis_errors.BusyLoadingError,
    redis_errors.ResponseError,
    redis_errors.SlotNotCoveredError,
)
_CLOSED = "the handler is closed"
"""The end of uvloop's message about a write to a closed transport."""
_NO_DATABASE = re.compile(r"DB index is out of range|Invalid Database|invalid DB index")
"""Messages of a server and of redis-py about a database that the server does not have."""
_FINAL = (redis_errors.AuthenticationError, redis_errors.AuthorizationError)
_LACKS_FUNCTION = "Function not found"
_PASSING_CODES = (
    "BUSY",
    "LOADING",
    "MISCONF",
    "NOREPLICAS",
    "MASTERDOWN",
    "UNBLOCKED",
    "OOM",
    "READONLY",
    # Flushed once more just as it was loaded.
    _LACKS_FUNCTION,
)
_REMEDIES = {
    "maxmemory": "give it more memory",
    "MISCONF": "see in its log why it cannot save, mostly a full disk",
    "read only replica": "name its master with --redis",
    "loading the dataset": "try again when it has loaded",
    "busy running": "try again when it has ended that",
    "Timeout reading": "try again when it is less busy, or name another with --redis",
}
"""Remedies for a server that answers and refuses, by a word of its answer."""
_NO_CLUSTER = ("Cluster mode is not enabled", "cluster support disabled")
"""Messages of redis-py and of a server that cannot list the slots."""
_DENIED_INSIDE = ("The user executing the script can't", "ACL failure in script")
"""The message of Redis since 7.0 about a command or a key that is denied to a function's user."""
RIGHTS = "+@read +@write +@fast +@connection +@scripting +info"
"""The rights that the farm's functions and plain commands need; Redis 7.0 does not say which one was denied."""
_STUMBLES = re.compile(r"user_function:\d+: |WRONGTYPE|.*not an integer|.*not a valid float")
"""The message of a function that finds data that no farm wrote."""
_OF_LUA = re.compile(r"^user_function:\d+: | script: \w+, on @user_function:\d+$")
"""The position of an error in a script, which users need not see."""
_DEEPEST = 8
"""How many causes of an error of redis-py are searched for a failure of TLS."""
_CONNECTING = re.compile(r"Error (-?\d{1,5}) connecting to \S+\. (.+)")
"""The message of redis-py about a connection that was not made: an error number, the address, the reason."""
_READING = re.compile(r"Error while reading from \S+(?: :)? \((\d{1,5}), ")
"""The message of redis-py about a connection that broke, with number and text of the error as a tuple."""
_NO_CONNECTION = "Connect call failed"
"""The reason in asyncio's words, behind which the address stands as a tuple."""
_SEVERAL = "Error Multiple exceptions: "
"""The message of redis-py about a name with several addresses, none of which answers."""
_ERRNO = re.compile(r"\[Errno (\d{1,5})\]")
_WRONG_NAME = (62, 64)
"""OpenSSL's numbers for a certificate of another host, or of another address."""
_EXPIRED = (9, 10)


def is_transient(error: BaseException) -> bool:
    """Whether the same call can succeed later without any intervention."""
    if _is_final(error):
        return False
    if isinstance(error, _PASSING):
        return True
    if isinstance(error, redis_errors.RedisClusterException) and error.__cause__ is not None:
        # No node of a Cluster could list the slots; the reason of the last one says whether that is transient.
        return is_transient(error.__cause__)
    return isinstance(error, redis_errors.ResponseError) and str(error).startswith(_PASSING_CODES)


def never_sent(error: redis_errors.ConnectionError | redis_errors.TimeoutError) -> Exception:
    """Return the error of a connection that was not made; a server's message about a password is not changed."""
    return error if _is_final(error) or isinstance(error, NeverSent) else NeverSent(str(error))


def was_not_run(error: BaseException) -> bool:
    """Whether a failed call has certainly changed nothing: it was not sent, or the server refused it.

    After any other failure of a connection the call may have been carried out.
    """
    return isinstance(error, _NOT_RUN)


def closed_transport(error: RuntimeError) -> redis_errors.ConnectionError:
    """Return the error of a connection that was closed just as it was to be written to; raises any other error.

    uvloop says so by a RuntimeError, where asyncio's own loop writes into nothing.
    """
    if _CLOSED not in str(error):
        raise error
    return redis_errors.ConnectionError("Connection closed by server")


def cannot_write(error: BaseException) -> bool:
    """Whether the server takes no writes because its disk does not."""
    return isinstance(error, redis_errors.ResponseError) and str(error).startswith("MISCONF")


def unwritable(reason: str) -> FrontierUnwritable:
    """Return the error for a private Redis whose disk accepts no writes; `reason` is the server's message."""
    why = reason.rpartition(": ")[2]
    return FrontierUnwritable(
        f"The private Redis cannot write its data ({why}); free some space in the output folder, and continue "
        "with `farm run`."
    )


def lacks_function(error: redis_errors.ResponseError) -> bool:
    """Whether the error is that of a server without the library of the function."""
    return str(error).startswith(_LACKS_FUNCTION)


def crawl_deleted(place: str) -> CrawlGone:
    """Return the error for a crawl that was deleted while this node worked on it."""
    return CrawlGone(
        f"The crawl is no longer in Redis at {place}; it was deleted or started anew: "
        "run this node again to join the present crawl."
    )


def unreadable(place: str, why: str) -> CrawlUnreadable:
    """Return the error for a crawl whose stored data no farm wrote."""
    return CrawlUnreadable(
        f"The crawl in Redis at {place} cannot be read ({why}); "
        "use another --crawl, or start it anew with `farm run --fresh URL`."
    )


def is_stale_master(error: BaseException) -> bool:
    """Whether the connection may lead to a server that is no longer the master; a new one may be right."""
    return isinstance(error, _STALE_MASTER) or str(error).startswith(("READONLY", "MASTERDOWN"))


def _is_final(error: BaseException) -> bool:
    # While it connects, redis-py wraps what the server said about the password in a ConnectionError.
    if isinstance(error, _FINAL) or isinstance(error.__cause__, _FINAL):
        return True
    return _tls_fault(error) is not None or bool(_NO_DATABASE.search(str(error)))


def reason_of(error: BaseException) -> str:
    """Return the message of the server or the system, in one line and without the address."""
    text = " ".join(str(error).split()).rstrip(".")
    if text.startswith(_SEVERAL) and (numbers := _ERRNO.findall(text)):
        return ", ".join(dict.fromkeys(os.strerror(int(number)) for number in numbers))
    if (broken := _READING.match(text)) is not None:
        return os.strerror(int(broken[1]))
    found = _CONNECTING.match(text)
    if found is not None:
        return os.strerror(int(found[1])) if found[2].startswith(_NO_CONNECTION) else found[2]
    return text or type(error).__name__


def translate(error: BaseException, place: str) -> FarmError:
    """Return the farm's error for a foreign one."""
    reason = reason_of(error)
    if isinstance(error, redis_errors.NoPermissionError) or any(said in reason for said in _DENIED_INSIDE):
        return FrontierUnavailable(
            f"Redis at {place} refuses its user commands that the farm needs ({_OF_LUA.sub('', reason)}); "
            f"grant them with ACL SETUSER {RIGHTS} and the keys ~{{CRAWL:*, or name another user in the URL."
        )
    tls = _tls_fault(error)
    if tls is not None:
        return FrontierUnavailable(_tls_sentence(tls, place))
    if _NO_DATABASE.search(reason):
        return UsageError(f"Redis at {place} has no database of that number; write /0, or no number at all.")
    if _is_final(error) or reason.startswith(("NOAUTH", "WRONGPASS")):
        return FrontierUnavailable(
            f"Redis at {place} refuses the login ({reason}); check the user and the password in the URL."
        )
    if is_transient(error):
        remedies = (remedy for word, remedy in _REMEDIES.items() if word in reason)
        remedy = next(remedies, "start it, or name another with --redis")
        if place.startswith("rediss:") and "reset" in reason.lower():
            # With TLS 1.3 a server that lacks our certificate resets after the handshake: its alert may come
            # behind the reset, and is not read then.
            remedy += "; if it wants a certificate, give ?ssl_certfile=FILE&ssl_keyfile=FILE"
        return FrontierUnavailable(f"Redis at {place} is not available ({reason}); {remedy}.")
    return _said_by_a_script(reason, place)


def _said_by_a_script(reason: str, place: str) -> FarmError:
    if reason.startswith("NOCRAWL"):
        return crawl_deleted(place)
    if reason.startswith("BADARG"):
        return UsageError(f"The frontier cannot keep what it was given: {reason[7:]}.")
    if _STUMBLES.match(reason):
        return unreadable(place, _OF_LUA.sub("", reason))
    remedy = "; name a single server with redis://" if any(said in reason for said in _NO_CLUSTER) else ""
    return FrontierUnavailable(f"Redis at {place} refused a command ({reason}){remedy}.")


def _tls_fault(error: BaseException) -> ssl.SSLError | None:
    """Return the failure of TLS behind an error of redis-py; None if there is none."""
    one: BaseException | None = error
    for _ in range(_DEEPEST):
        if isinstance(one, ssl.SSLError) and not isinstance(one, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return one
        if one is None:
            break
        one = one.__cause__ or one.__context__
    return None


def _tls_sentence(error: ssl.SSLError, place: str) -> str:
    """Return a sentence about a failure of TLS at an address, with the remedy."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message
        if error.verify_code in _WRONG_NAME:
            remedy = "name the host in --redis as its certificate does"
        elif error.verify_code in _EXPIRED:
            remedy = "renew it, or check the clock of this machine"
        else:
            remedy = "name a file with the authority that signed it with --redis-ca-file"
        return f"Redis at {place} has a certificate that is not trusted ({why}); {remedy}."
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "alert" in reason:
        # A peer that sends an alert has looked at our certificate and refuses it.
        return (
            f"Redis at {place} requires another certificate of this farm ({reason}); "
            "name it by ?ssl_certfile=FILE&ssl_keyfile=FILE in --redis."
        )
    return f"Redis at {place} cannot be reached by TLS ({reason}); write redis:// if it does not speak TLS."
