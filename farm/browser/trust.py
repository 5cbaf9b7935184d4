"""Makes an engine trust a certificate authority, with a private NSS database in the engine's home folder.

On Linux, `$HOME/.pki/nssdb` is the only place without root from which Chromium reads additional authorities. The
database is written with libnss3, which is present because Chromium needs it; the program `certutil` often is not.
It runs as a separate program, because NSS can be initialised only once per process:

    python trust.py HOME AUTHORITY.pem

It imports only the standard library, so that it starts fast and runs isolated.
"""

import ctypes
import re
import ssl
import sys
from pathlib import Path

PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
TRUSTED_AUTHORITY_FOR_SERVERS = b"C,,"


class _Item(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int), ("data", ctypes.c_char_p), ("len", ctypes.c_uint))


class _Trust(ctypes.Structure):
    _fields_ = (("ssl", ctypes.c_uint), ("email", ctypes.c_uint), ("signing", ctypes.c_uint))


def certificates(pem: str) -> list[bytes]:
    """Return the certificates of a PEM text as DER; raises ValueError if one is malformed."""
    return [ssl.PEM_cert_to_DER_cert(block) for block in PEM.findall(pem)]


def trust(home: Path, authorities: list[bytes]) -> None:
    """Create the database in `home` with the authorities (DER) trusted to sign servers' certificates.

    Raises OSError if libnss3 is missing or a call of it fails.
    """
    folder = home / ".pki" / "nssdb"
    folder.mkdir(parents=True, exist_ok=True)
    nss = ctypes.CDLL("libnss3.so")
    pointer = ctypes.c_void_p
    nss.PK11_GetInternalKeySlot.restype = pointer
    nss.CERT_GetDefaultCertDB.restype = pointer
    nss.CERT_NewTempCertificate.restype = pointer
    nss.CERT_NewTempCertificate.argtypes = (
        pointer,
        ctypes.POINTER(_Item),
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_int,
    )
    nss.PK11_InitPin.argtypes = (pointer, pointer, pointer)
    nss.PK11_ImportCert.argtypes = (pointer, pointer, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_int)
    nss.CERT_ChangeCertTrust.argtypes = (pointer, pointer, ctypes.POINTER(_Trust))
    _check(nss.NSS_InitReadWrite(f"sql:{folder}".encode()), "open the database")
    slot, database = nss.PK11_GetInternalKeySlot(), nss.CERT_GetDefaultCertDB()
    _check(nss.PK11_InitPin(slot, None, None), "initialise the database")
    flags = _Trust()
    nss.CERT_DecodeTrustString(ctypes.byref(flags), TRUSTED_AUTHORITY_FOR_SERVERS)
    for number, der in enumerate(authorities):
        item = _Item(0, der, len(der))
        certificate = nss.CERT_NewTempCertificate(database, ctypes.byref(item), None, 0, 1)
        if not certificate:
            raise OSError(f"certificate {number + 1} is malformed")
        nickname = f"farm-{number}".encode()
        _check(nss.PK11_ImportCert(slot, certificate, 0, nickname, 0), "import the certificate")
        _check(nss.CERT_ChangeCertTrust(database, certificate, ctypes.byref(flags)), "trust it")
    nss.NSS_Shutdown()


def _check(status: int, step: str) -> None:
    if status != 0:
        raise OSError(f"libnss3 could not {step}")


if __name__ == "__main__":
    trust(Path(sys.argv[1]), certificates(Path(sys.argv[2]).read_text(encoding="ascii")))
