package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"gocloud.dev/blob"

	"alexnet/records/bucket"
)

// progress is how much a connection must bring for the ones before it to count no
// longer as failures in a row. A body of many gigabytes may break more often than a
// request may be tried; one that breaks after each few bytes is no use.
const progress = 64 << 10

// Open implements bucket.Folder.
func (f *folder) Open(ctx context.Context, name string) (io.ReadCloser, bucket.Info, error) {
	if name == "" {
		return nil, bucket.Info{}, f.invalid("open", name)
	}
	b := &body{f: f, ctx: ctx, name: name}
	if err := b.connect(); err != nil {
		return nil, bucket.Info{}, err
	}
	b.version, b.size = f.store.answer(b.r)
	b.modified = b.r.ModTime()
	return b, bucket.Info{Name: name, Size: b.size, Version: b.version, Modified: b.modified}, nil
}

// body reads an object over as many connections as it takes.
type body struct {
	f             *folder
	ctx           context.Context
	name, version string
	size          int64
	modified      time.Time
	off           int64 // of the next byte
	plain         bool  // it is asked for without a range

	r       *blob.Reader // nil between connections
	a       *attempt     // of r
	from    int64        // where the first of the failures in a row was
	since   time.Time    // when
	breaks  int          // failures in a row
	failure error        // final
}

// connect opens the object at the place where reading stands.
func (b *body) connect() error {
	return b.f.try(b.ctx, "open", b.name, func(a *attempt) error {
		r, err := b.f.connect(a, b.name, b.version, b.off, -1, !b.plain)
		if err != nil && !b.plain && b.off == 0 && b.f.store.reply(err).status == http.StatusRequestedRangeNotSatisfiable {
			b.plain = true // an empty object has no range
			r, err = b.f.connect(a, b.name, b.version, 0, -1, false)
		}
		if err != nil {
			return err
		}
		// Some stores give all versions one name.
		if _, size := b.f.store.answer(r); b.off > 0 && (size != b.size || !r.ModTime().Equal(b.modified)) {
			r.Close()
			return fmt.Errorf("its length or its time is another: %w", bucket.ErrChanged)
		}
		a.rest()
		a.kept = true
		b.r, b.a = r, a
		return nil
	})
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	for b.failure == nil && b.off < b.size {
		if len(p) == 0 {
			return 0, nil
		}
		if b.r == nil {
			if b.failure = b.connect(); b.failure != nil {
				break
			}
		}
		b.a.alive()
		n, err := b.r.Read(p[:min(int64(len(p)), b.size-b.off)])
		err = b.a.why(err)
		b.a.rest()
		b.off += int64(n)
		if b.off >= b.size || err != nil {
			b.drop()
		}
		if err != nil && b.off < b.size {
			b.failure = b.broke(err)
		}
		if n > 0 {
			return n, nil
		}
	}
	if b.failure != nil {
		return 0, b.failure
	}
	return 0, io.EOF
}

// broke pauses after a connection that broke, or returns the final error.
func (b *body) broke(err error) error {
	if cerr := b.ctx.Err(); cerr != nil {
		return cerr
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%d of %d bytes are missing: %w", b.size-b.off, b.size, io.ErrUnexpectedEOF)
	}
	if b.breaks == 0 || b.off-b.from >= progress {
		b.breaks, b.from, b.since = 0, b.off, time.Now()
	}
	b.breaks++
	return b.f.again(b.ctx, "read", b.name, b.breaks, b.since, broken{err})
}

// drop closes the connection.
func (b *body) drop() {
	if b.r != nil {
		b.r.Close()
		b.a.end()
		b.r, b.a = nil, nil
	}
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.drop()
	if b.failure == nil {
		b.failure = errClosed
	}
	return nil
}

// errClosed is the error of a read after Close.
var errClosed = errors.New("the reader is closed")
