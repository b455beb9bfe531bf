package cloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"alexnet/records/bucket"
	"alexnet/records/bucket/buckettest"
	"alexnet/records/bucket/buckettest/s3server"
)

// realStore names a folder of a real store, with its endpoint:
// "s3://bucket/prefix?endpoint=http://127.0.0.1:7070". Its credentials are in the
// environment as the AWS tools have them.
const realStore = "ALEXNET_S3_TEST_URL"

// realFolder gives the parts of a new folder's address in the real store.
func realFolder(t *testing.T) *url.URL {
	t.Helper()
	address := os.Getenv(realStore)
	if address == "" {
		t.Skipf("no real store: %s names none", realStore)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Path += fmt.Sprintf("/%s-%d", t.Name(), time.Now().UnixNano())
	return u
}

// openReal opens a folder, and empties it at the end.
func openReal(t *testing.T, u *url.URL, options Options) bucket.Folder {
	t.Helper()
	f, err := Open(context.Background(), u.String(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for info, err := range f.List(context.Background(), "", true) {
			if err == nil {
				err = f.Remove(context.Background(), info.Name)
			}
			if err != nil {
				t.Error(err)
			}
		}
		f.Close()
	})
	return f
}

func TestS3Interface(t *testing.T) {
	if err := buckettest.Check(context.Background(), openReal(t, realFolder(t), Options{})); err != nil {
		t.Error(err)
	}
}

// TestS3Parts puts an object in parts, the first one only, and reads it.
func TestS3Parts(t *testing.T) {
	f := openReal(t, realFolder(t), Options{PartSize: 5 << 20})
	ctx := context.Background()
	data := drawn(1, 12<<20)
	if err := put(ctx, f, "a/large", data, bucket.Create); err != nil {
		t.Fatal(err)
	}
	if err := put(ctx, f, "a/large", data[1:], bucket.Create); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second create in parts: %v", err)
	}
	if got, err := read(ctx, f, "a/large"); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := put(ctx, f, "a/large", data[1:], bucket.Replace); err != nil {
		t.Error(err)
	}
	if got, err := read(ctx, f, "a/large"); err != nil || !bytes.Equal(got, data[1:]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestS3Faults has a proxy before the store that fails as the fake one does. A
// part that arrives changed, and an object put together whose answer is lost, are
// matters of the store's.
func TestS3Faults(t *testing.T) {
	u := realFolder(t)
	query := u.Query()
	endpoint, err := url.Parse(query.Get("endpoint"))
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(endpoint)
		r.Out.Host = r.In.Host // which is signed
	}}
	faults := &s3server.Faults{Inner: proxy}
	server := httptest.NewServer(faults)
	t.Cleanup(server.Close)
	query.Set("endpoint", server.URL)
	u.RawQuery = query.Encode()
	p := &pauses{}
	f := openReal(t, u, Options{PartSize: 5 << 20, Pause: p.pause})
	ctx := context.Background()
	for _, fault := range []s3server.Fault{s3server.Internal, s3server.CutBody, s3server.ShortBody, s3server.Garbled, s3server.LostAnswer} {
		faults.Set(s3server.Seeded(11, 0.4, 3, fault), 0)
		for _, size := range []int{0, 1000, 300 << 10, 11 << 20} {
			name, data := fmt.Sprintf("%v/%d", fault, size), drawn(uint64(size), size)
			err := put(ctx, f, name, data, bucket.Create)
			if errors.Is(err, fs.ErrExist) && size < 10<<20 && fault != s3server.Internal && fault != s3server.Garbled {
				err = nil // ours, whose answer was lost; of one in parts it is found out
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got, err := read(ctx, f, name); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%s: %d bytes, %v", name, len(got), err)
			}
		}
	}
	if len(p.list) < 10 {
		t.Errorf("%d pauses", len(p.list))
	}
	faults.Set(nil, 0)
}

// TestS3Refusals have hints.
func TestS3Refusals(t *testing.T) {
	u := realFolder(t)
	ctx := context.Background()
	missing := *u
	missing.Host = "no-bucket-of-this-name"
	_, _, err := openMissing(t, &missing).Open(ctx, "x")
	if err == nil || !strings.Contains(err.Error(), `there is no bucket "no-bucket-of-this-name"`) {
		t.Errorf("no bucket: %v", err)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	f := openMissing(t, u)
	if _, _, err := f.Open(ctx, "x"); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Errorf("a wrong secret: %v", err)
	}
	if _, err := f.Stat(ctx, "x"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a wrong secret, of an answer without a body: %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "nobody")
	if _, _, err := openMissing(t, u).Open(ctx, "x"); !errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Errorf("a key that nobody has: %v", err)
	}
}

// openMissing opens a folder that nothing is put into.
func openMissing(t *testing.T, u *url.URL) bucket.Folder {
	t.Helper()
	f, err := Open(context.Background(), u.String(), Options{Attempts: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
