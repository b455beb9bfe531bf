package cloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"alexnet/records/bucket"
	"alexnet/records/bucket/buckettest"
	"alexnet/records/bucket/buckettest/s3server"
)

// started starts a store and opens a folder of it, without pauses; pauses are
// noted.
func started(t *testing.T, options Options) (*s3server.Server, bucket.Folder, *pauses) {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	s, err := s3server.New()
	if err != nil {
		t.Fatal(err)
	}
	p := &pauses{}
	options.Pause = p.pause
	f, err := Open(context.Background(), s.URL("some/folder"), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Faults.Set(nil, 0)
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		s.Close()
		goleak.VerifyNone(t, leaks)
	})
	return s, f, p
}

type pauses struct {
	mu   sync.Mutex
	list []time.Duration
}

func (p *pauses) pause(ctx context.Context, d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, d)
	return ctx.Err()
}

// drawn is data of a seed.
func drawn(seed uint64, n int) []byte {
	b := make([]byte, n)
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

func put(ctx context.Context, f bucket.Folder, name string, data []byte, how bucket.PutMode) error {
	return f.Put(ctx, name, bytes.NewReader(data), int64(len(data)), how)
}

// read reads an object in two ways, which must agree.
func read(ctx context.Context, f bucket.Folder, name string) ([]byte, error) {
	r, info, err := f.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	all, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	if int64(len(all)) != info.Size {
		return nil, fmt.Errorf("%d bytes of %d", len(all), info.Size)
	}
	p := make([]byte, len(all))
	if err := f.ReadAt(ctx, name, info.Version, p, 0); err != nil {
		return nil, err
	}
	if !bytes.Equal(p, all) {
		return nil, errors.New("ReadAt and Open read different things")
	}
	return all, nil
}

func TestInterface(t *testing.T) {
	_, f, p := started(t, Options{})
	if err := buckettest.Check(context.Background(), f); err != nil {
		t.Error(err)
	}
	if len(p.list) > 0 {
		t.Errorf("pauses without faults: %v", p.list)
	}
}

// TestFaults does everything against a store of which a third of the requests
// fails in every way that may pass.
func TestFaults(t *testing.T) {
	passing := []s3server.Fault{s3server.Busy, s3server.Internal, s3server.Refused, s3server.CutBody, s3server.ShortBody, s3server.Garbled, s3server.LostAnswer}
	for _, some := range [][]s3server.Fault{{s3server.Busy}, {s3server.Internal}, {s3server.Refused}, {s3server.CutBody}, {s3server.ShortBody},
		{s3server.Garbled}, {s3server.LostAnswer}, passing} {
		t.Run(strings.ReplaceAll(fmt.Sprint(some), " ", "-"), func(t *testing.T) {
			s, f, p := started(t, Options{PartSize: 40 << 10})
			ctx := context.Background()
			s.Faults.Set(s3server.Seeded(7, 0.35, 3, some...), 0)
			for i, size := range []int{0, 1, 1000, 80 << 10, 80<<10 + 1, 500 << 10} {
				for _, how := range []bucket.PutMode{bucket.Create, bucket.Replace} {
					name, data := fmt.Sprintf("d/%d", i), drawn(uint64(size)+uint64(how), size)
					err := put(ctx, f, name, data, how)
					if errors.Is(err, fs.ErrExist) && how == bucket.Create && slices.Contains(some, s3server.LostAnswer) {
						err = nil // an attempt of ours, as the interface says: the content decides
					}
					if err != nil {
						t.Fatalf("%d bytes: %v", size, err)
					}
					if kept, _ := s.Object("some/folder/" + name); !bytes.Equal(kept, data) {
						t.Fatalf("%d bytes: the store has %d others", size, len(kept))
					}
					got, err := read(ctx, f, name)
					if err != nil || !bytes.Equal(got, data) {
						t.Fatalf("%d bytes were read as %d, %v", size, len(got), err)
					}
				}
			}
			listed := 0
			for info, err := range f.List(ctx, "", true) {
				if err != nil || info.Name != fmt.Sprintf("d/%d", listed) {
					t.Fatalf("%+v, %v", info, err)
				}
				listed++
			}
			for i := range listed {
				if err := f.Remove(ctx, fmt.Sprintf("d/%d", i)); err != nil {
					t.Error(err)
				}
			}
			if listed != 6 || len(p.list) < 5 {
				t.Errorf("%d objects listed, %d pauses", listed, len(p.list))
			}
		})
	}
}

// always has all requests fail that a test of the request's picks.
func always(fault s3server.Fault, which func(*http.Request) bool) s3server.Plan {
	return func(_ int, r *http.Request) s3server.Fault {
		if which == nil || which(r) {
			return fault
		}
		return s3server.None
	}
}

// TestAttemptsAreBounded has requests that never succeed: each is made as often as
// said, with pauses that grow, and none more often for the SDK's sake.
func TestAttemptsAreBounded(t *testing.T) {
	const attempts = 5
	s, f, p := started(t, Options{Attempts: attempts})
	if err := s.Store("some/folder/x", drawn(1, 1000)); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for _, fault := range []s3server.Fault{s3server.Busy, s3server.Internal, s3server.Refused} {
		for op, do := range map[string]func() error{
			"stat": func() error { _, err := f.Stat(ctx, "x"); return err },
			"open": func() error { _, _, err := f.Open(ctx, "x"); return err },
			"read": func() error { return f.ReadAt(ctx, "x", "", make([]byte, 10), 0) },
			"list": func() error {
				for _, err := range f.List(ctx, "", true) {
					return err
				}
				return nil
			},
			"put":    func() error { return put(ctx, f, "y", drawn(2, 10), bucket.Replace) },
			"remove": func() error { return f.Remove(ctx, "x") },
		} {
			s.Faults.Set(always(fault, nil), 0)
			p.list = nil
			err := do()
			var own *bucket.Error
			seen := s.Faults.Seen()
			if fault == s3server.Refused && seen > attempts {
				// Go's client itself makes a request again when a connection that it had kept
				// turns out to be closed.
				seen -= min(seen-attempts, attempts)
			}
			if !errors.As(err, &own) || own.Op != op || own.Attempts != attempts || seen != attempts {
				t.Errorf("%s, %s: %v after %d requests", op, fault, err, s.Faults.Seen())
			}
			if len(p.list) != attempts-1 {
				t.Errorf("%s, %s: pauses %v", op, fault, p.list)
			}
			for i, d := range p.list {
				if most := firstPause << i; d < most/2 || d > most {
					t.Errorf("%s, %s: pause %d is %v", op, fault, i, d)
				}
			}
		}
	}
}

func TestBackoffHasALimit(t *testing.T) {
	for n := 1; n < 100; n++ {
		if d := backoff(n); d > longestPause || d < firstPause/2 {
			t.Errorf("the pause after %d failures is %v", n, d)
		}
	}
}

// TestFinal has answers that are not asked for again.
func TestFinal(t *testing.T) {
	s, f, p := started(t, Options{})
	ctx := context.Background()
	if err := s.Store("some/folder/x", drawn(1, 1000)); err != nil {
		t.Fatal(err)
	}
	other := func(bucketName string) bucket.Folder {
		g, err := Open(ctx, strings.Replace(s.URL("x"), s3server.Bucket, bucketName, 1), Options{Pause: p.pause})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { g.Close() })
		return g
	}
	for _, c := range []struct {
		what string
		do   func() error
		plan s3server.Plan
		kind error
		hint string
	}{
		{"no object", func() error { _, err := f.Stat(ctx, "none"); return err }, nil, fs.ErrNotExist, ""},
		{"no object to open", func() error { _, _, err := f.Open(ctx, "none"); return err }, nil, fs.ErrNotExist, ""},
		{"object is there", func() error { return put(ctx, f, "x", nil, bucket.Create) }, nil, fs.ErrExist, ""},
		{"other version", func() error { return f.ReadAt(ctx, "x", "0123", make([]byte, 1), 0) }, nil, bucket.ErrChanged, ""},
		{"beyond the end", func() error { return f.ReadAt(ctx, "x", "", make([]byte, 1), 1000) }, nil, io.ErrUnexpectedEOF, ""},
		{"not allowed", func() error { _, _, err := f.Open(ctx, "x"); return err }, always(s3server.Forbidden, nil), fs.ErrPermission, "credentials may not"},
		{"no bucket", func() error { _, _, err := other("absent").Open(ctx, "x"); return err }, nil, nil, `there is no bucket "absent"`},
	} {
		s.Faults.Set(c.plan, 0)
		err := c.do()
		var own *bucket.Error
		if c.kind != nil && !errors.Is(err, c.kind) || !errors.As(err, &own) || own.Attempts != 1 || s.Faults.Seen() != 1 || !strings.Contains(own.Hint, c.hint) {
			t.Errorf("%s: %v after %d requests", c.what, err, s.Faults.Seen())
		}
	}
	if len(p.list) > 0 {
		t.Errorf("pauses: %v", p.list)
	}
	for _, name := range []string{"", ".", "../x", "a//b", "a/", "/a", "a\x01"} {
		if err := put(ctx, f, name, nil, bucket.Replace); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("put %q: %v", name, err)
		}
	}
}

// TestNothingHalfWritten has an upload in parts fail at each of its requests: what
// was there before stays, and nothing else appears.
func TestNothingHalfWritten(t *testing.T) {
	s, f, _ := started(t, Options{Attempts: 2, PartSize: 10 << 10})
	ctx := context.Background()
	before, data := drawn(1, 100), drawn(2, 95<<10)
	if err := s.Store("some/folder/old", before); err != nil {
		t.Fatal(err)
	}
	parts := map[string]func(*http.Request) bool{
		"create":   func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("uploads") },
		"part 4":   func(r *http.Request) bool { return r.URL.Query().Get("partNumber") == "4" },
		"complete": func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("uploadId") },
	}
	for what, which := range parts {
		for _, fault := range []s3server.Fault{s3server.Internal, s3server.Refused, s3server.Forbidden} {
			s.Faults.Set(always(fault, which), 0)
			if err := put(ctx, f, "old", data, bucket.Replace); err == nil {
				t.Errorf("%s, %s: no error", what, fault)
			}
			if err := put(ctx, f, "new", data, bucket.Create); err == nil {
				t.Errorf("%s, %s: no error", what, fault)
			}
			got, _ := s.Object("some/folder/old")
			if _, there := s.Object("some/folder/new"); there || !bytes.Equal(got, before) {
				t.Errorf("%s, %s: there is something of an upload that failed", what, fault)
			}
		}
	}
	s.Faults.Set(nil, 0)
	if err := put(ctx, f, "new", data, bucket.Create); err != nil {
		t.Fatal(err)
	}
	if err := put(ctx, f, "new", data, bucket.Create); !errors.Is(err, fs.ErrExist) {
		t.Errorf("an upload in parts over one that is there: %v", err)
	}
}

// TestSourceFails has the data of an upload fail: that is no matter of the store's.
func TestSourceFails(t *testing.T) {
	s, f, p := started(t, Options{PartSize: 1000})
	for _, size := range []int64{500, 10000} {
		if err := f.Put(context.Background(), "x", failing{}, size, bucket.Replace); !errors.Is(err, errFailing) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if _, there := s.Object("some/folder/x"); there || len(p.list) > 0 {
		t.Errorf("it is there: %t; pauses: %v", there, p.list)
	}
}

var errFailing = errors.New("the disk is gone")

type failing struct{}

func (failing) ReadAt(p []byte, off int64) (int, error) {
	if off >= 400 {
		return 0, errFailing
	}
	return len(p[:min(100, len(p))]), nil
}

// TestLostAnswerOfCreate has the answer of a put lost that took effect.
func TestLostAnswerOfCreate(t *testing.T) {
	s, f, _ := started(t, Options{})
	s.Faults.Set(func(n int, _ *http.Request) s3server.Fault {
		if n == 0 {
			return s3server.LostAnswer
		}
		return s3server.None
	}, 0)
	err := put(context.Background(), f, "claim", []byte("mine"), bucket.Create)
	if got, _ := s.Object("some/folder/claim"); !errors.Is(err, fs.ErrExist) || string(got) != "mine" {
		t.Errorf("%v, and %q is there", err, got)
	}
}

// TestConflict has two put at once, as far as the store knows: that is tried again
// and is no success.
func TestConflict(t *testing.T) {
	s, f, _ := started(t, Options{Attempts: 3})
	s.Faults.Set(func(n int, _ *http.Request) s3server.Fault {
		if n < 2 {
			return s3server.Conflict
		}
		return s3server.None
	}, 0)
	if err := put(context.Background(), f, "x", []byte("x"), bucket.Create); err != nil {
		t.Errorf("a conflict that passed: %v", err)
	}
	s.Faults.Set(always(s3server.Conflict, nil), 0)
	if err := put(context.Background(), f, "y", []byte("y"), bucket.Create); !errors.Is(err, fs.ErrExist) || s.Faults.Seen() != 3 {
		t.Errorf("a conflict that stays: %v after %d requests", err, s.Faults.Seen())
	}
}

// TestLongBody breaks each connection in the middle of what it brings: there are
// more breaks than attempts, but not without progress.
func TestLongBody(t *testing.T) {
	s, f, p := started(t, Options{Attempts: 3})
	data := drawn(3, 1<<20)
	if err := s.Store("some/folder/x", data); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	s.Faults.Set(always(s3server.CutBody, nil), 0)
	r, info, err := f.Open(ctx, "x")
	if err != nil {
		t.Fatal(err)
	}
	// Halves of halves: below 64 KiB that is no progress any more.
	got, err := io.ReadAll(r)
	r.Close()
	if len(got) < len(data)*9/10 || !bytes.Equal(got, data[:len(got)]) || !errors.Is(err, io.ErrUnexpectedEOF) || len(p.list) < 4 || len(p.list) > 8 {
		t.Errorf("%d bytes and %v after %d pauses", len(got), err, len(p.list))
	}

	// One that is replaced while it is read.
	s.Faults.Set(always(s3server.CutBody, nil), 0)
	if r, _, err = f.Open(ctx, "x"); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	s.Faults.Set(nil, 0)
	if err := s.Store("some/folder/x", drawn(4, int(info.Size))); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); !errors.Is(err, bucket.ErrChanged) {
		t.Errorf("an object that was replaced: %v", err)
	}
}

// TestStall has connections that fall silent.
func TestStall(t *testing.T) {
	s, f, p := started(t, Options{Stall: 30 * time.Millisecond})
	data := drawn(5, 200<<10)
	if err := s.Store("some/folder/x", data); err != nil {
		t.Fatal(err)
	}
	s.Faults.Set(func(n int, _ *http.Request) s3server.Fault {
		if n%2 == 0 {
			return s3server.Stalled
		}
		return s3server.None
	}, 0)
	if got, err := read(context.Background(), f, "x"); err != nil || !bytes.Equal(got, data) || len(p.list) == 0 {
		t.Errorf("%d bytes, %v, %d pauses", len(got), err, len(p.list))
	}
}

// TestCancel cancels while requests fail: the error is the context's, at once.
func TestCancel(t *testing.T) {
	s, _, _ := started(t, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	f, err := Open(ctx, s.URL("x"), Options{Pause: func(ctx context.Context, _ time.Duration) error {
		cancel()
		return pause(ctx, time.Hour)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s.Faults.Set(always(s3server.Busy, nil), 0)
	if err := put(ctx, f, "x", nil, bucket.Replace); !errors.Is(err, context.Canceled) || s.Faults.Seen() != 1 {
		t.Errorf("%v after %d requests", err, s.Faults.Seen())
	}
}

func TestTimeLimit(t *testing.T) {
	s, f, _ := started(t, Options{Attempts: 100, Limit: time.Millisecond})
	s.Faults.Set(always(s3server.Busy, nil), 0)
	if _, err := f.Stat(context.Background(), "x"); err == nil || s.Faults.Seen() != 1 {
		t.Errorf("%v after %d requests", err, s.Faults.Seen())
	}
}

// TestManyObjects lists more than a page, whole and by folders.
func TestManyObjects(t *testing.T) {
	s, f, _ := started(t, Options{})
	for i := range 2100 {
		if err := s.Store(fmt.Sprintf("some/folder/%c/%04d", 'a'+i/1500, i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Store("some/folder/a/", nil); err != nil { // as consoles mark folders
		t.Fatal(err)
	}
	s.Faults.Set(s3server.Seeded(3, 0.5, 3, s3server.Busy, s3server.ShortBody, s3server.CutBody), 0)
	i := 0
	for info, err := range f.List(context.Background(), "", true) {
		if err != nil || info.Name != fmt.Sprintf("%c/%04d", 'a'+i/1500, i) {
			t.Fatalf("%d: %+v, %v", i, info, err)
		}
		i++
	}
	var folders []string
	for info, err := range f.List(context.Background(), "", false) {
		if err != nil {
			t.Fatal(err)
		}
		folders = append(folders, info.Name)
	}
	if i != 2100 || !slices.Equal(folders, []string{"a", "b"}) {
		t.Errorf("%d objects, folders %q", i, folders)
	}
}

// TestKeysAsTheyAre reads objects of other programs, whatever their names.
func TestKeysAsTheyAre(t *testing.T) {
	s, f, _ := started(t, Options{})
	want := []string{"__0x2f__/x", "a../b", "tab\tnew\nline"}
	for _, name := range want {
		if err := s.Store("some/folder/"+name, []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	var names []string
	for info, err := range f.List(ctx, "", true) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, info.Name)
		if got, err := read(ctx, f, info.Name); err != nil || string(got) != info.Name {
			t.Errorf("%q reads as %q, %v", info.Name, got, err)
		}
		if stat, err := f.Stat(ctx, info.Name); err != nil || stat.Version != info.Version || stat.Size != info.Size {
			t.Errorf("%+v, %v; listed as %+v", stat, err, info)
		}
	}
	if !slices.Equal(names, want) {
		t.Errorf("listed as %q", names)
	}
	for info, err := range f.List(ctx, "__0x2f__", false) {
		if err != nil || info.Name != "__0x2f__/x" {
			t.Errorf("%+v, %v", info, err)
		}
	}
}

// TestConnections has 64 readers at once, twice: the second time they find the
// connections of the first.
func TestConnections(t *testing.T) {
	s, f, _ := started(t, Options{})
	if err := s.Store("some/folder/x", drawn(1, 100)); err != nil {
		t.Fatal(err)
	}
	var made [2]int
	for round := range made {
		s.Faults.Set(nil, 20*time.Millisecond) // so that they do come at once
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				if err := f.ReadAt(context.Background(), "x", "", make([]byte, 100), 0); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		made[round] = s.Connections()
	}
	if made[0] < 32 || made[1] > made[0]+32 {
		t.Errorf("connections: %v", made)
	}
}

// TestNoCredentials has none of them anywhere.
func TestNoCredentials(t *testing.T) {
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	for _, key := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION",
		"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"} {
		t.Setenv(key, "")
	}
	_, err := Open(context.Background(), "s3://b/p?region=eu-west-1", Options{})
	if err == nil || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Errorf("no credentials: %v", err)
	}
	_, err = Open(context.Background(), "s3://b/p?anonymous=true", Options{})
	if err == nil || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("no region: %v", err)
	}
	f, err := Open(context.Background(), "s3://b/p/?anonymous=true&endpoint=http://127.0.0.1:1", Options{Attempts: 2, Pause: new(pauses).pause})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Name() != "s3://b/p" {
		t.Errorf("the folder is called %s", f.Name())
	}
	var own *bucket.Error
	if _, err := f.Stat(context.Background(), "x"); !errors.As(err, &own) || own.Attempts != 2 || !strings.Contains(own.Hint, "nothing listens") {
		t.Errorf("nobody there: %v", err)
	}
}
