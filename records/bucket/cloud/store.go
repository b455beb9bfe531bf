package cloud

import (
	"context"
	"io"
	"strings"

	"gocloud.dev/blob"

	"alexnet/records/bucket"
)

// store is a bucket and what gocloud.dev does not say for all of them.
type store struct {
	bucket *blob.Bucket

	// ask changes a read request, before it is sent, to be of the object of that key and
	// no other, of one version only ("" for any), and to be answered with a range even
	// where it asks for all.
	ask func(key, version string, whole bool) func(as func(any) bool) error
	// answer gives the version that an open reader reads, and the object's length.
	answer func(r *blob.Reader) (version string, size int64)
	// start, if not nil, gives the place in the object of the first byte that an open reader
	// reads.
	start func(r *blob.Reader) int64
	// stated gives the version out of a description, listed the key and the version, which
	// is "" if it is not in it.
	stated func(a *blob.Attributes) string
	listed func(o *blob.ListObject) (key, version string)
	// reply gives what a store has answered with, or the zero reply.
	reply func(err error) reply

	// within, if not nil, tells the store's SDK in a request's context not to try again.
	within func(ctx context.Context) context.Context
	// idle, if not nil, closes connections that nobody uses.
	idle func()
	// list, if not nil, changes a listing, before it is asked for.
	list func(prefix string) func(as func(any) bool) error
	// stat and remove are one request each; where they are nil, blob's ways do.
	stat   func(ctx context.Context, key string) (bucket.Info, error)
	remove func(ctx context.Context, key string) error
	// put, if not nil, puts an object in a way of its own instead of blob's writer.
	put func(ctx context.Context, f *folder, name string, data io.ReaderAt, size int64, create bool) error
}

// reply is an answer of a store that is an error.
type reply struct {
	status  int    // of HTTP; 0 where there was no answer
	code    string // "NoSuchKey"
	message string
	request string // the number under which the store's operator finds it
	region  string // where the bucket is, if the answer says so
}

// unquoted is an ETag without its quotes.
func unquoted(etag string) string { return strings.Trim(etag, `"`) }
