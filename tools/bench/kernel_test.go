package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"alexnet/pipeline"
	"alexnet/records"
	"alexnet/records/bucket"
	"alexnet/records/bucket/buckettest"
)

// The rows that the kernel goes through are those of the records, each in memory of its
// own, wherever they come from.
func TestLoadRows(t *testing.T) {
	for name, codec := range map[string]records.Compression{"plain": records.None, "packed": records.LZ4, "remote": records.None} {
		dir := t.TempDir()
		if err := makeUpRecords(dir, "train", 4, records.Uint8, codec, 1); err != nil {
			t.Fatal(err)
		}
		ds, err := records.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := ds.OpenSplit("train")
		if err != nil {
			t.Fatal(err)
		}
		defer stored.Close()
		if name == "remote" {
			ds = remote(t, dir)
		}
		split, err := ds.OpenSplit("train")
		if err != nil {
			t.Fatal(err)
		}
		defer split.Close()
		b := &bench{flags: &flags{Seed: 3}, data: ds, split: split}
		rows, err := b.loadRows(t.Context())
		if err != nil || len(rows) != split.Len() {
			t.Fatalf("%s: %d rows of %d, %v", name, len(rows), split.Len(), err)
		}
		var scratch records.Scratch
		for i, at := range pipeline.Order(b.Seed, 0, split.Len()) {
			want, err := stored.Row(int(at), &scratch)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(rows[i].U8, want.U8) {
				t.Fatalf("%s: row %d is not record %d", name, i, at)
			}
		}
	}
}

// remote puts the files of a folder into an object store and opens them there.
func remote(t *testing.T, dir string) *records.Dataset {
	t.Helper()
	var store buckettest.Memory
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Put(t.Context(), f.Name(), bytes.NewReader(data), int64(len(data)), bucket.Replace); err != nil {
			t.Fatal(err)
		}
	}
	ds, err := records.OpenFolder(t.Context(), &store)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}
