"""What the system says of files and folders, and our words for it."""

import errno
from collections.abc import Mapping

_FREE_SPACE = "free some space and run again"
_PERMIT = "let this user read and write there, or choose another sink.url"
_IN_THE_WAY = "a file lies where a folder is needed, or the reverse; move it or choose another sink.url"
_NO_LOCKS = "this file system cannot lock a folder; use a local disk or S3"
_WAYS_OUT: Mapping[int, str] = {
    errno.ENOSPC: _FREE_SPACE,
    errno.EDQUOT: _FREE_SPACE,
    errno.EFBIG: "raise this process's limit of file size (ulimit -f)",
    errno.EACCES: _PERMIT,
    errno.EPERM: _PERMIT,
    errno.EROFS: "choose another sink.url",
    errno.ENOENT: "a link on the way leads nowhere; see that its disk is mounted, or choose another sink.url",
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EISDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.ENAMETOOLONG: "choose shorter names, or a sink.url with a shorter path",
    errno.EMFILE: "raise this process's limit of open files (ulimit -n)",
    errno.EBADF: _NO_LOCKS,
    errno.ENOLCK: _NO_LOCKS,
    errno.EOPNOTSUPP: _NO_LOCKS,
}


def explain(error: OSError) -> str:
    """What the system says, and the way out."""
    code = errno.errorcode.get(error.errno or 0, "no code")
    way_out = _WAYS_OUT.get(error.errno or 0, "check the disk and run again")
    return f"{error.strerror or type(error).__name__} ({code}); {way_out}"
