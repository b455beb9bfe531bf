package records

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestForwardShard compares shards that are to be sent elsewhere, and the mean
// and manifest as bytes, with those that are written to a folder.
func TestForwardShard(t *testing.T) {
	encodings(t, func(t *testing.T, p PixelType, c Compression) {
		dir, o := t.TempDir(), testOptions(p, c, testShape)
		want := writeShard(t, filepath.Join(dir, "s.arrow"), o, testRecords(40, testShape))
		other := filepath.Join(t.TempDir(), "s.arrow")
		w, err := CreateForwardShard(other, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range testRecords(40, testShape) {
			if err := w.Write(r); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := w.Commit(); err != nil || got != want {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
		a, err := os.ReadFile(other)
		b, err2 := os.ReadFile(filepath.Join(dir, "s.arrow"))
		if err := errors.Join(err, err2, w.Abort()); err != nil || !bytes.Equal(a, b) {
			t.Errorf("%d bytes, %d in a folder (%v)", len(a), len(b), err)
		}
	})
	path := filepath.Join(t.TempDir(), "s.arrow")
	w, err := CreateForwardShard(path, testOptions(Int16, None, testShape))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Abort(), w.Abort()); err != nil {
		t.Error(err)
	}
	if left := names(t, filepath.Dir(path)); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	if _, err := CreateForwardShard(path, WriterOptions{}); err == nil {
		t.Error("options that are none were taken")
	}
}

// TestEncode compares mean and manifest as bytes with what is in a folder.
func TestEncode(t *testing.T) {
	dir := t.TempDir()
	writeDataset(t, dir, Int16, None, testShape, testRecords(5, testShape), 3)
	ds, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	mean, info, err := EncodeMean(ds.Mean)
	if err != nil || info != ds.Manifest.Mean {
		t.Errorf("%+v, %v; want %+v", info, err, ds.Manifest.Mean)
	}
	manifest, err := EncodeManifest(ds.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{MeanName: mean, ManifestName: manifest} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs (%v)", name, err)
		}
	}
	if m, err := DecodeManifest("here", manifest); err != nil || m.Digest != ds.Manifest.Digest {
		t.Errorf("decoded: %v", err)
	}
	if m, err := DecodeMean("here", mean); err != nil || m.Shape != ds.Mean.Shape {
		t.Errorf("decoded: %v", err)
	}
	_, err = DecodeMean("here", mean[:len(mean)/2])
	wantError(t, err, "here is damaged")
	_, err = DecodeManifest("here", manifest[:len(manifest)/2])
	wantError(t, err, "here is damaged")
	if _, _, err := EncodeMean(&Mean{Shape: testShape}); err == nil {
		t.Error("a mean without values was encoded")
	}
}
