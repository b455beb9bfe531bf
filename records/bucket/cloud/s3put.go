package cloud

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"alexnet/records/bucket"
)

const (
	maxParts    = 10000 // of an upload
	partsAtOnce = 4
	abortTime   = 10 * time.Second

	// patience is how many stall times a store may be silent while it puts an object
	// together of its parts.
	patience = 10
)

// s3Upload puts objects: gocloud.dev's writer buffers them whole parts at a time,
// and begins an upload anew when one part of it fails, which this does not.
type s3Upload struct {
	client     *s3.Client
	bucket     string
	encryption types.ServerSideEncryption
	key        string // of the encryption
	md5        bool   // the store compares MD5s; otherwise the SDK adds a CRC
}

// put implements store.put.
func (u *s3Upload) put(ctx context.Context, f *folder, name string, data io.ReaderAt, size int64, create bool) error {
	one := &s3Put{s3Upload: u, f: f, ctx: ctx, name: name, data: data, size: size}
	if create {
		one.none = aws.String("*")
	}
	one.part = max(f.options.PartSize, size/maxParts+1)
	if size <= 2*one.part {
		return one.single()
	}
	// The parts are put together in a request of its own, whose answer may be lost:
	// the next attempt then finds no upload. Where it cannot be told whether that
	// was it, a second upload decides.
	err := one.parts()
	if errors.Is(err, errUploadGone) {
		err = one.parts()
	}
	return err
}

// stat implements store.stat.
func (u *s3Upload) stat(ctx context.Context, key string) (bucket.Info, error) {
	out, err := u.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &u.bucket, Key: &key})
	if err != nil {
		return bucket.Info{}, err
	}
	return bucket.Info{Size: aws.ToInt64(out.ContentLength), Version: unquoted(aws.ToString(out.ETag)), Modified: aws.ToTime(out.LastModified)}, nil
}

// remove implements store.remove: gocloud.dev's asks first whether the object is
// there, which S3 does not care about.
func (u *s3Upload) remove(ctx context.Context, key string) error {
	_, err := u.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &u.bucket, Key: &key})
	return err
}

// s3Put is one Put.
type s3Put struct {
	*s3Upload
	f          *folder
	ctx        context.Context
	name       string
	data       io.ReaderAt
	size, part int64
	none       *string // If-None-Match
}

// object is the key of the object.
func (p *s3Put) object() *string { return aws.String(p.f.prefix + p.name) }

// checksum is the one that the SDK adds, or none where the MD5 is there for that.
func (p *s3Put) checksum() types.ChecksumAlgorithm {
	if p.md5 {
		return ""
	}
	return types.ChecksumAlgorithmCrc32
}

// digest is the Content-MD5 of a piece, or nil where the SDK checks it otherwise.
func (p *s3Put) digest(ctx context.Context, off, size int64) (*string, error) {
	if !p.md5 {
		return nil, nil
	}
	sum, err := p.f.sum(ctx, p.data, off, size)
	if err != nil {
		return nil, err
	}
	return aws.String(base64.StdEncoding.EncodeToString(sum)), nil
}

// single puts the object in one request.
func (p *s3Put) single() error {
	digest, err := p.digest(p.ctx, 0, p.size)
	if err != nil {
		return p.f.putError(p.ctx, p.name, err)
	}
	return p.f.try(p.ctx, "put", p.name, func(a *attempt) error {
		in := &s3.PutObjectInput{
			Bucket: &p.bucket, Key: p.object(), Body: p.f.source(a, p.data, 0, p.size), ContentLength: &p.size,
			ContentType: aws.String(contentType), ContentMD5: digest, IfNoneMatch: p.none,
			ChecksumAlgorithm: p.checksum(), ServerSideEncryption: p.encryption,
		}
		if p.key != "" {
			in.SSEKMSKeyId = &p.key
		}
		_, err := p.client.PutObject(a.ctx, in)
		return err
	})
}

// errUploadGone says that an upload that was to be finished is not there.
var errUploadGone = errors.New("the upload is gone")

// parts puts the object in several requests; until the last, nothing is seen of
// it. An upload that fails is taken back, as far as the store can be reached.
func (p *s3Put) parts() error {
	var upload *string
	err := p.f.try(p.ctx, "put", p.name, func(a *attempt) error {
		in := &s3.CreateMultipartUploadInput{Bucket: &p.bucket, Key: p.object(), ContentType: aws.String(contentType), ServerSideEncryption: p.encryption, ChecksumAlgorithm: p.checksum()}
		if p.key != "" {
			in.SSEKMSKeyId = &p.key
		}
		out, err := p.client.CreateMultipartUpload(a.ctx, in)
		if err == nil {
			upload = out.UploadId
		}
		return err
	})
	if err != nil {
		return err
	}
	parts := make([]types.CompletedPart, (p.size+p.part-1)/p.part)
	group, ctx := errgroup.WithContext(p.ctx)
	group.SetLimit(partsAtOnce)
	for i := range parts {
		group.Go(func() (err error) {
			parts[i], err = p.one(ctx, upload, i)
			return err
		})
	}
	if err = group.Wait(); err == nil {
		err = p.complete(upload, parts)
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), abortTime)
		defer cancel()
		// The error to report is the upload's. Parts that stay are not seen, and are the
		// store's to remove: Amazon's does where a rule of the bucket's says so.
		_, _ = p.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &p.bucket, Key: p.object(), UploadId: upload})
		if cerr := p.ctx.Err(); cerr != nil {
			return cerr
		}
	}
	return err
}

// one puts the i-th part.
func (p *s3Put) one(ctx context.Context, upload *string, i int) (types.CompletedPart, error) {
	off := int64(i) * p.part
	size := min(p.part, p.size-off)
	part := types.CompletedPart{PartNumber: aws.Int32(int32(i + 1))}
	digest, err := p.digest(ctx, off, size)
	if err != nil {
		return part, p.f.putError(ctx, p.name, err)
	}
	err = p.f.try(ctx, "put", p.name, func(a *attempt) error {
		out, err := p.client.UploadPart(a.ctx, &s3.UploadPartInput{
			Bucket: &p.bucket, Key: p.object(), UploadId: upload, PartNumber: part.PartNumber,
			Body: p.f.source(a, p.data, off, size), ContentLength: &size, ContentMD5: digest, ChecksumAlgorithm: p.checksum(),
		})
		if err == nil {
			part.ETag, part.ChecksumCRC32 = out.ETag, out.ChecksumCRC32
		}
		return err
	})
	return part, err
}

// complete puts the parts together.
func (p *s3Put) complete(upload *string, parts []types.CompletedPart) error {
	attempts := 0
	return p.f.try(p.ctx, "put", p.name, func(a *attempt) error {
		attempts++
		a.patient(patience)
		_, err := p.client.CompleteMultipartUpload(a.ctx, &s3.CompleteMultipartUploadInput{
			Bucket: &p.bucket, Key: p.object(), UploadId: upload, IfNoneMatch: p.none,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
		})
		r := replyS3(err)
		lost := attempts > 1 && (r.status == http.StatusNotFound || r.status == http.StatusPreconditionFailed)
		if err == nil || !lost {
			return err
		}
		// The answer of the attempt before was lost, perhaps, and it took effect.
		switch {
		case p.there(parts):
			return nil
		case r.status == http.StatusNotFound:
			return fmt.Errorf("%w: %w", errUploadGone, err)
		}
		return err
	})
}

// there says whether the object is the one of these parts, as far as its ETag
// tells: some stores' is the MD5 of the whole instead.
func (p *s3Put) there(parts []types.CompletedPart) bool {
	info, err := p.f.Stat(p.ctx, p.name)
	if err != nil || info.Size != p.size {
		return false
	}
	if info.Version == composite(parts) {
		return true
	}
	sum, err := p.f.sum(p.ctx, p.data, 0, p.size)
	return err == nil && info.Version == hex.EncodeToString(sum)
}

// composite is the ETag that an object of these parts has: the MD5 of their MD5s.
// It is "" where the parts' ETags are no MD5s, as those of keys of a KMS.
func composite(parts []types.CompletedPart) string {
	var sums bytes.Buffer
	for _, part := range parts {
		sum, err := hex.DecodeString(unquoted(aws.ToString(part.ETag)))
		if err != nil || len(sum) != md5.Size {
			return ""
		}
		sums.Write(sum)
	}
	sum := md5.Sum(sums.Bytes())
	return fmt.Sprintf("%x-%d", sum, len(parts))
}
