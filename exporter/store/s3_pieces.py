"""One multipart upload: a large object, piece by piece, that is there once it is completed and not before.

Nothing is repeated here, and boto3's errors come through. A piece may be put twice, since the second replaces the
first; a completion may not, like any put on condition.
"""

from typing import TYPE_CHECKING

from exporter.store.base import Condition
from exporter.store.s3_requests import Place, Seal, on_condition

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, CompleteMultipartUploadOutputTypeDef

#: Larger objects are put in pieces of this size. S3 takes 10,000 of them, and 5 GiB in one put.
#: Source: Amazon S3 user guide, "Amazon S3 multipart upload limits".
PIECE_BYTES = 64 * 2**20


class Pieces:
    """The requests of one upload, to be sent one after the other from any thread."""

    def __init__(
        self, client: "S3Client", place: Place, seal: Seal, *, key: str, data: bytes, piece_bytes: int
    ) -> None:
        """Nothing is sent yet.

        Args:
            client: sends the requests.
            place: the bucket.
            seal: how the object is encrypted.
            key: in the bucket.
            data: the object.
            piece_bytes: of each piece but the last.
        """
        self._client = client
        self._place = place
        self._seal = seal
        self._key = key
        self._data = data
        self._piece_bytes = piece_bytes
        self._upload_id = ""
        self._done: dict[int, CompletedPartTypeDef] = {}

    @property
    def numbers(self) -> range:
        """Of the pieces."""
        return range(1, -(-len(self._data) // self._piece_bytes) + 1)

    def begin(self) -> None:
        """Have the store open an upload; where its answer is lost, one without pieces is left behind."""
        answer = self._client.create_multipart_upload(
            **self._place, **self._seal, Key=self._key, ChecksumAlgorithm="CRC32"
        )
        self._upload_id = answer["UploadId"]

    def put(self, number: int) -> None:
        """Send one piece; a copy of it is in memory meanwhile."""
        begin = (number - 1) * self._piece_bytes
        answer = self._client.upload_part(
            **self._place,
            Key=self._key,
            UploadId=self._upload_id,
            PartNumber=number,
            Body=self._data[begin : begin + self._piece_bytes],
            ChecksumAlgorithm="CRC32",
        )
        self._done[number] = {"PartNumber": number, "ETag": answer["ETag"]}
        if checksum := answer.get("ChecksumCRC32"):
            self._done[number]["ChecksumCRC32"] = checksum

    def complete(self, condition: Condition) -> "CompleteMultipartUploadOutputTypeDef":
        """Make the object of the pieces, all of which were put, if *condition* holds."""
        return self._client.complete_multipart_upload(
            **self._place,
            **on_condition(condition),
            Key=self._key,
            UploadId=self._upload_id,
            MultipartUpload={"Parts": [self._done[number] for number in self.numbers]},
        )

    def abort(self) -> None:
        """Have the store drop the pieces; an upload that was completed is none any more."""
        self._client.abort_multipart_upload(**self._place, Key=self._key, UploadId=self._upload_id)
