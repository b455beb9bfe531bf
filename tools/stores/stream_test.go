package stores_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
	"time"

	"alexnet/pipeline"
	"alexnet/records"
	"alexnet/records/bucket"
	"alexnet/records/bucket/buckettest/s3server"
	"alexnet/records/bucket/cache"
	"alexnet/records/bucket/cloud"
	"alexnet/train/traintest"
)

// A training stream from a server that speaks as S3 does and fails one request in
// eight is that of the folder, bit for bit, with and without a cache on a disk.
func TestStreamOverS3(t *testing.T) {
	dir := t.TempDir()
	if err := (traintest.Data{Classes: 2, Size: 16, Train: 40, Val: 3}).Make(dir); err != nil {
		t.Fatal(err)
	}
	local, err := records.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := streamed(t, local)
	server := serve(t, dir)
	for _, cached := range []bool{false, true} {
		server.Faults.Set(s3server.Seeded(1, 0.125, 3, s3server.Busy, s3server.Internal, s3server.CutBody, s3server.ShortBody), 0)
		f, err := cloud.Open(t.Context(), server.URL("out"), cloud.Options{Pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }})
		if err != nil {
			t.Fatal(err)
		}
		if cached {
			if f, err = cache.New(f, cache.Options{Dir: t.TempDir(), Bytes: 1e8}); err != nil {
				t.Fatal(err)
			}
		}
		if got := streamed(t, openFolder(t, f)); got != want {
			t.Errorf("cached %v: the stream is another", cached)
		}
		if n := server.Faults.Seen(); n < 80 != cached {
			t.Errorf("cached %v: %d requests for two epochs of 40 rows", cached, n)
		}
		if err := records.VerifyFolder(t.Context(), f, nil); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func openFolder(t *testing.T, f bucket.Folder) *records.Dataset {
	t.Helper()
	ds, err := records.OpenFolder(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// serve starts a server with the files of a folder.
func serve(t *testing.T, dir string) *s3server.Server {
	t.Helper()
	server, err := s3server.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err == nil {
			err = server.Store("out/"+file.Name(), data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return server
}

// streamed returns a digest of two epochs of training batches.
func streamed(t *testing.T, ds *records.Dataset) [sha256.Size]byte {
	t.Helper()
	p, err := pipeline.OpenDataset(t.Context(), ds, pipeline.Options{Batch: 8, Crop: 12, Seed: 3, Train: true, Epochs: 2, Workers: 2, Cache: -1})
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for b := range p.Batches() {
		all.Write(b.Bytes)
		b.Release()
	}
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	return sha256.Sum256(all.Bytes())
}
