package cloud

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"alexnet/records/bucket"
)

// answering opens a folder of a server that answers every request in its way.
func answering(t *testing.T, server *httptest.Server) (bucket.Folder, *pauses) {
	t.Helper()
	t.Cleanup(server.Close)
	p := &pauses{}
	f, err := Open(context.Background(), "s3://b/p?anonymous=true&endpoint="+server.URL, Options{Attempts: 3, Pause: p.pause})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, p
}

// TestAbsent has answers of a status that objects which are not there have, too: only
// those that speak of an object say that there is none.
func TestAbsent(t *testing.T) {
	for code, want := range map[string]struct {
		absent bool
		hint   string
	}{
		"NoSuchKey":           {true, ""},
		"NoSuchVersion":       {true, ""},
		"XAdminUserNotFound":  {false, "AWS_ACCESS_KEY_ID"}, // versitygw's, of a key that it does not know
		"NoSuchBucket":        {false, `there is no bucket "b"`},
		"NoSuchUpload":        {false, ""},
		"NoSuchConfiguration": {false, ""},
	} {
		f, _ := answering(t, httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>so it is</Message></Error>", code)
		})))
		_, _, err := f.Open(context.Background(), "x")
		if errors.Is(err, fs.ErrNotExist) != want.absent || !strings.Contains(fmt.Sprint(err), code) || !strings.Contains(fmt.Sprint(err), want.hint) {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// TestNoTLS speaks TLS to a server that does not: that does not pass.
func TestNoTLS(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	f, err := Open(context.Background(), "s3://b/p?anonymous=true&endpoint="+strings.Replace(server.URL, "http", "https", 1), Options{Pause: new(pauses).pause})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var own *bucket.Error
	if _, _, err := f.Open(context.Background(), "x"); !errors.As(err, &own) || own.Attempts != 1 || !strings.Contains(own.Hint, "begin with http://") {
		t.Error(err)
	}
}

// TestRedirects has a store send its clients round and round.
func TestRedirects(t *testing.T) {
	var requests atomic.Int64
	f, _ := answering(t, httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) > 100 {
			w.WriteHeader(http.StatusForbidden) // and so ends a test that has failed
			return
		}
		http.Redirect(w, r, r.URL.String(), http.StatusTemporaryRedirect)
	})))
	if _, _, err := f.Open(context.Background(), "x"); err == nil || requests.Load() > 20 || !strings.Contains(err.Error(), "another region") {
		t.Errorf("after %d requests: %v", requests.Load(), err)
	}
}

// TestConnectionEach has a store that speaks HTTP/2 asked over HTTP/1.1: there a request
// that stalls is given up with its connection, instead of leaving it to the next attempt.
func TestConnectionEach(t *testing.T) {
	var protocol atomic.Value
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocol.Store(r.Proto)
		w.WriteHeader(http.StatusNotFound)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	f, _ := answering(t, server)
	if _, err := f.Stat(context.Background(), "x"); !errors.Is(err, fs.ErrNotExist) || protocol.Load() != "HTTP/1.1" {
		t.Errorf("%v, asked over %v", err, protocol.Load())
	}
}

// TestNoParts has a store, or a proxy before it, answer with the whole object whatever part
// of it is asked for: what comes is not taken for that part.
func TestNoParts(t *testing.T) {
	f, p := answering(t, httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v"`)
		w.Header().Set("Content-Length", "10")
		fmt.Fprint(w, "0123456789"[:5])
		if r.Header.Get("Range") != "bytes=0-" {
			fmt.Fprint(w, "56789")
		} // else the connection ends here
	})))
	ctx := context.Background()
	if err := f.ReadAt(ctx, "x", "v", make([]byte, 2), 5); err == nil || !strings.Contains(err.Error(), "whole") {
		t.Errorf("a part: %v", err)
	}
	r, _, err := f.Open(ctx, "x")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err == nil || string(got) != "01234" || !strings.Contains(err.Error(), "whole") {
		t.Errorf("%q, %v", got, err)
	}
	if len(p.list) != 1 {
		t.Errorf("pauses: %v", p.list)
	}
}

// TestNobodyAnswers has a server that is silent, and one that is gone: what is said of them
// is short, and what to do.
func TestNobodyAnswers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	stat := func(stall time.Duration) string {
		f, err := Open(context.Background(), "s3://b/p?anonymous=true&endpoint="+server.URL, Options{Attempts: 2, Stall: stall, Pause: new(pauses).pause})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		_, err = f.Stat(context.Background(), "x")
		return fmt.Sprint(err)
	}
	const silent = "stat s3://b/p/x: nothing came for too long (after 2 attempts); check the endpoint and the network"
	if got := stat(10 * time.Millisecond); !strings.HasPrefix(got, silent) {
		t.Error(got)
	}
	server.Close()
	gone := fmt.Sprintf(`stat s3://b/p/x: Head "%s/b/p/x": dial tcp %s: connect`, server.URL, server.Listener.Addr())
	if got := stat(0); !strings.HasPrefix(got, gone) || !strings.HasSuffix(got, " (after 2 attempts); nothing listens at that endpoint") {
		t.Error(got)
	}
}

// TestPlainVersion has an object replaced, while it is read, by one of the same length and
// ETag, as stores over a file system may give all of theirs: its time tells.
func TestPlainVersion(t *testing.T) {
	var modified atomic.Int64
	f, _ := answering(t, httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"plain"`)
		w.Header().Set("Last-Modified", time.Unix(modified.Add(1), 0).UTC().Format(http.TimeFormat))
		from := 0
		_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-9/10", from))
		w.Header().Set("Content-Length", strconv.Itoa(10-from))
		w.WriteHeader(http.StatusPartialContent)
		fmt.Fprint(w, "0123456789"[from:min(from+5, 10)])
	})))
	r, _, err := f.Open(context.Background(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); !errors.Is(err, bucket.ErrChanged) || string(got) != "01234" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestNameGone has a store's name not found: at first that is final, and later it may pass.
func TestNameGone(t *testing.T) {
	f, _ := answering(t, httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	gone := &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "store", IsNotFound: true}}
	if v := f.(*folder).judge("stat", gone); v.passes || !strings.Contains(v.hint, "no machine has that name") {
		t.Errorf("at first: %+v", v)
	}
	if _, err := f.Stat(context.Background(), "x"); err != nil {
		t.Fatal(err)
	}
	if v := f.(*folder).judge("stat", gone); !v.passes {
		t.Errorf("after an answer: %+v", v)
	}
}
