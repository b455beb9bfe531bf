package records

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	flatbuffers "github.com/google/flatbuffers/go"
)

// edit changes a file's content.
func edit(t testing.TB, path string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(data), 0o666); err != nil {
		t.Fatal(err)
	}
}

// editText replaces text in a file, which must have it.
func editText(t testing.TB, path, old, new string) {
	t.Helper()
	edit(t, path, func(data []byte) []byte {
		if !bytes.Contains(data, []byte(old)) {
			t.Fatalf("%s has no %q", path, old)
		}
		return bytes.Replace(data, []byte(old), []byte(new), 1)
	})
}

// footerStart returns where an Arrow file's footer starts.
func footerStart(data []byte) int {
	return len(data) - trailerSize - int(binary.LittleEndian.Uint32(data[len(data)-trailerSize:]))
}

// readAll opens the data set and reads all of it.
func readAll(dir string) error {
	ds, err := Open(dir)
	if err != nil {
		return err
	}
	s, err := ds.OpenSplit("train")
	if err != nil {
		return err
	}
	var sc Scratch
	for i := range s.Len() {
		if _, err := s.Row(i, &sc); err != nil {
			return errors.Join(err, s.Close())
		}
	}
	return s.Close()
}

// Every way in which a data set can be damaged, what reading it says, and what
// Verify says. The data set has 10 rows in shards of 4, 4 and 2.
func TestDamage(t *testing.T) {
	const shard = "train-00001-of-00003.arrow"
	pixelsOf := func(data []byte, rec Record) int {
		stored := appendStored(nil, rec.Pixels, testBaseline(Int16, testShape))
		return bytes.Index(data, stored)
	}
	rows := testRecords(10, testShape)
	for _, c := range []struct {
		name   string
		file   string
		damage func(t *testing.T, path string)
		check  func(t *testing.T, err error)
	}{
		{"byte of the pixels flipped", shard, func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { b[pixelsOf(b, rows[6])+11] ^= 4; return b })
		}, func(t *testing.T, err error) {
			e := wantCorrupt(t, err, shard, 2, "row 2 (n00000000/n00000000_6.JPEG) is damaged: the CRC-32C of its pixels is ")
			if e.Key != rows[6].Key {
				t.Errorf("key %q", e.Key)
			}
		}},
		{"byte of a checksum flipped", shard, func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte {
				f, err := parseArrowFile(b)
				if err != nil {
					t.Fatal(err)
				}
				batch, err := f.batch(0)
				if err != nil {
					t.Fatal(err)
				}
				sums, err := batch.buffer(bufCRC32C)
				if err != nil {
					t.Fatal(err)
				}
				sums[4*3] ^= 1
				return b
			})
		}, func(t *testing.T, err error) {
			wantCorrupt(t, err, shard, 3, "row 3 (n00000001/n00000001_7.JPEG) is damaged: the CRC-32C")
		}},
		{"a block of the footer points elsewhere", shard, func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte {
				f, err := parseArrowFile(b)
				if err != nil {
					t.Fatal(err)
				}
				binary.LittleEndian.PutUint64(f.blocks, 1<<40)
				return b
			})
		}, func(t *testing.T, err error) {
			wantCorrupt(t, err, shard, -1, "is damaged: the footer places batch 0 at 1099511627776, ")
		}},
		{"footer overwritten", shard, func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte {
				for i := footerStart(b); i < len(b)-trailerSize; i++ {
					b[i] = 0xAA
				}
				return b
			})
		}, func(t *testing.T, err error) {
			wantCorrupt(t, err, shard, -1, "its metadata points outside of itself")
		}},
		{"length of the footer wrong", shard, func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { b[len(b)-7] = 0x7F; return b })
		}, func(t *testing.T, err error) {
			wantCorrupt(t, err, shard, -1, "it gives its footer a length of ")
		}},
		{"the batch's message overwritten", shard, func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte {
				f, err := parseArrowFile(b)
				if err != nil {
					t.Fatal(err)
				}
				b[binary.LittleEndian.Uint64(f.blocks)] = 0
				return b
			})
		}, func(t *testing.T, err error) {
			wantCorrupt(t, err, shard, -1, "batch 0, at ", "does not start with a message")
		}},
		{"cut short", shard, func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { return b[:len(b)*2/3] })
		}, func(t *testing.T, err error) {
			wantCorrupt(t, err, shard, -1, "bytes, the manifest says ", "copy it again")
		}},
		{"another size", shard, func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { return append(b, 0) })
		}, func(t *testing.T, err error) {
			wantCorrupt(t, err, shard, -1, "bytes, the manifest says ")
		}},
		{"empty", shard, func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { return nil })
		}, func(t *testing.T, err error) {
			wantCorrupt(t, err, shard, -1, "it has 0 bytes, the manifest says ")
		}},
		{"not an Arrow file", shard, func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { return bytes.Repeat([]byte("picture "), len(b))[:len(b)] })
		}, func(t *testing.T, err error) {
			wantCorrupt(t, err, shard, -1, "it is not an Arrow file: it does not start with ARROW1")
		}},
		{"end missing, as long as before", shard, func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { clear(b[len(b)-100:]); return b })
		}, func(t *testing.T, err error) {
			wantCorrupt(t, err, shard, -1, "it does not end with ARROW1: it was cut short or added to")
		}},
		{"another shard under its name", shard, func(t *testing.T, path string) {
			edit(t, path, func([]byte) []byte {
				data, err := os.ReadFile(filepath.Join(filepath.Dir(path), "train-00000-of-00003.arrow"))
				if err != nil {
					t.Fatal(err)
				}
				return data
			})
		}, func(t *testing.T, err error) { // of the same size and rows: only Verify can tell
			if err != nil {
				wantCorrupt(t, err, shard, -1, "its SHA-256 is ", "all rows' pixels are whole")
			}
		}},
		{"missing", shard, func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, func(t *testing.T, err error) {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%v is not fs.ErrNotExist", err)
			}
			wantError(t, err, shard+" is listed in manifest.json and is not there: copy it here")
		}},
		{"a folder in its place", shard, func(t *testing.T, path string) {
			if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o777)); err != nil {
				t.Fatal(err)
			}
		}, func(t *testing.T, err error) {
			wantError(t, err, shard)
		}},
		{"manifest missing", ManifestName, func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, func(t *testing.T, err error) {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%v is not fs.ErrNotExist", err)
			}
			wantError(t, err, "holds no finished records", "run ingest with --out")
		}},
		{"manifest of a later version", ManifestName, func(t *testing.T, path string) {
			editText(t, path, `"version": 2`, `"version": 3`)
		}, func(t *testing.T, err error) {
			var version *VersionError
			if !errors.As(err, &version) || version.Got != 3 || version.Want != 2 {
				t.Errorf("%v (%T) is no *VersionError of 3 and 2", err, err)
			}
			wantError(t, err, ManifestName, "format version 3", "reads version 2: use a newer version of this program, or run ingest again")
		}},
		{"manifest of an earlier version", ManifestName, func(t *testing.T, path string) {
			editText(t, path, `"version": 2`, `"version": 1, "shape": "old"`)
		}, func(t *testing.T, err error) {
			wantError(t, err, "format version 1", "reads version 2: run ingest again")
		}},
		{"manifest of something else", ManifestName, func(t *testing.T, path string) {
			editText(t, path, FormatName, "other")
		}, func(t *testing.T, err error) {
			var unsupported *UnsupportedError
			if !errors.As(err, &unsupported) {
				t.Errorf("%v (%T) is no *UnsupportedError", err, err)
			}
			wantError(t, err, ManifestName, `its format is "other"`)
		}},
		{"manifest cut short", ManifestName, func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { return b[:len(b)/2] })
		}, func(t *testing.T, err error) {
			wantCorrupt(t, err, ManifestName, -1, "unexpected end of JSON input")
		}},
		{"manifest lists another digest", ManifestName, func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte {
				i := bytes.Index(b, []byte(shard))
				i += bytes.Index(b[i:], []byte(`"sha256": "`)) + len(`"sha256": "`)
				b[i] = "10"[b[i]&1]
				return b
			})
		}, func(t *testing.T, err error) {
			wantCorrupt(t, err, ManifestName, -1, "the digest of what it lists is ", "it was edited")
		}},
		{"mean changed", MeanName, func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte {
				f, err := parseArrowFile(b)
				if err != nil {
					t.Fatal(err)
				}
				batch, err := f.batch(0)
				if err != nil {
					t.Fatal(err)
				}
				batch.body[12] ^= 1
				return b
			})
		}, func(t *testing.T, err error) {
			wantCorrupt(t, err, MeanName, -1, "its SHA-256 is ", ", the manifest's ")
		}},
		{"mean cut short", MeanName, func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { return b[:100] })
		}, func(t *testing.T, err error) {
			wantCorrupt(t, err, MeanName, -1, "its SHA-256 is ", "it does not end with ARROW1")
		}},
		{"mean missing", MeanName, func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, func(t *testing.T, err error) {
			wantError(t, err, "mean.arrow is listed in manifest.json and is not there")
		}},
		{"nothing", shard, func(*testing.T, string) {}, func(t *testing.T, err error) {
			if err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			writeDataset(t, dir, Int16, None, testShape, rows, 4)
			c.damage(t, filepath.Join(dir, c.file))
			c.check(t, readAll(dir))
			wantVerify(t, dir, c.file, c.name != "nothing", c.check)
		})
	}
}

// wantVerify checks what Verify says about a data set in which one file is
// damaged, or none.
func wantVerify(t *testing.T, dir, file string, damaged bool, check func(*testing.T, error)) {
	t.Helper()
	var files, faulty []string
	result := Verify(context.Background(), dir, func(name string, err error) {
		if err != nil {
			faulty = append(faulty, name)
		}
		if !slices.Contains(files, name) {
			files = append(files, name)
		}
	})
	if (result != nil) != damaged {
		t.Fatalf("Verify returns %v", result)
	}
	for _, name := range faulty {
		if name != file {
			t.Errorf("Verify finds a fault in %s; %s was damaged", name, file)
		}
	}
	all := []string{ManifestName, MeanName, "train-00000-of-00003.arrow", "train-00001-of-00003.arrow", "train-00002-of-00003.arrow"}
	if file == ManifestName {
		all = all[:1]
	}
	if !slices.Equal(files, all) {
		t.Errorf("Verify went through %q, want %q", files, all)
	}
	if damaged {
		wantError(t, result, filepath.Base(file))
		if len(faulty) == 1 {
			check(t, result)
		}
	}
}

// Verify names every damaged row, and what was damaged where no row is.
func TestVerifyNamesAllFaults(t *testing.T) {
	encodings(t, func(t *testing.T, p PixelType, c Compression) {
		dir := t.TempDir()
		rows := testRecords(9, testShape)
		writeDataset(t, dir, p, c, testShape, rows, 3)
		for _, i := range []int{3, 5, 8} {
			path := filepath.Join(dir, ShardName("train", i/3, 3))
			edit(t, path, func(b []byte) []byte {
				s, err := parseShard(path, b)
				if err != nil {
					t.Fatal(err)
				}
				batch, at, err := s.rowBatch(i % 3)
				if err != nil {
					t.Fatal(err)
				}
				pixels, err := batch.buffer(bufPixels)
				if err != nil {
					t.Fatal(err)
				}
				from := at * testShape.Size() * p.Size()
				if c != None {
					from = len(pixels) - 20 // in compressed data
				}
				for k := range 8 {
					pixels[from+k] ^= 0x55
				}
				return b
			})
		}
		edit(t, filepath.Join(dir, "train-00000-of-00003.arrow"), func(b []byte) []byte {
			i := bytes.Index(b, []byte(rows[1].Key))
			b[i] = 'm' // another key: no row's pixels
			return b
		})
		var faults []string
		err := Verify(context.Background(), dir, func(_ string, err error) {
			if err != nil {
				faults = append(faults, strings.TrimPrefix(err.Error(), dir+string(filepath.Separator)))
			}
		})
		for i, want := range []string{
			"train-00000-of-00003.arrow is damaged: its SHA-256 is ",
			"train-00001-of-00003.arrow is damaged: its SHA-256 is ",
			"train-00001-of-00003.arrow: row 0 (" + rows[3].Key + ") is damaged: ",
			"train-00001-of-00003.arrow: row 2 (" + rows[5].Key + ") is damaged: ",
			"train-00002-of-00003.arrow is damaged: its SHA-256 is ",
			"train-00002-of-00003.arrow: row 2 (" + rows[8].Key + ") is damaged: ",
		} {
			if i >= len(faults) || !strings.HasPrefix(faults[i], want) {
				t.Fatalf("faults are\n%s\nnumber %d should start with\n%s", strings.Join(faults, "\n"), i, want)
			}
		}
		if len(faults) != 6 || !strings.Contains(faults[0], "all rows' pixels are whole") {
			t.Errorf("faults are\n%s", strings.Join(faults, "\n"))
		}
		wantError(t, err, "6 faults in "+dir+", the first: ", "train-00000-of-00003.arrow")
	})
}

func TestVerifyStops(t *testing.T) {
	dir := t.TempDir()
	writeDataset(t, dir, Uint8, None, testShape, testRecords(9, testShape), 3)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Verify(ctx, dir, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Verify returns %v", err)
	}
}

// Whatever byte of a shard is flipped, reading does not panic, what it gives
// without an error are the right pixels, and Verify finds the fault.
func TestEveryFlippedByte(t *testing.T) {
	shape := Shape{C: 3, H: 2, W: 3}
	for _, c := range []Compression{None, LZ4, Zstd} {
		for _, p := range []PixelType{Int16, Uint8} {
			dir := t.TempDir()
			path := filepath.Join(dir, "train-00000-of-00001.arrow")
			rows := testRecords(3, shape)
			o := testOptions(p, c, shape)
			info := writeShard(t, path, o, rows)
			original, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			detected := 0
			var sc Scratch
			for i := range original {
				data := slices.Clone(original)
				data[i] ^= 1 << (i % 8)
				s, err := parseShard(path, data)
				if err != nil {
					wantTyped(t, err)
					detected++
					continue
				}
				for k := range min(s.rows, 1000) {
					row, err := s.row(k, &sc)
					if err != nil {
						wantTyped(t, err)
						detected++
						break
					}
					if s.spec.shape != shape || s.spec.pixels != p {
						break // the manifest would tell
					}
					row.Key, row.Label, row.ILSVRCID = rows[k].Key, rows[k].Label, rows[k].ILSVRCID // not under the checksum
					row.Width, row.Height, row.SourceXXH3 = rows[k].Width, rows[k].Height, rows[k].SourceXXH3
					wantRow(t, row, rows[k], p, o.Baseline)
				}
			}
			if detected < len(original)/10 {
				t.Errorf("%s %s: only %d of %d flips were noticed", p, c, detected, len(original))
			}
			m := &Manifest{Shape: shape, Pixels: p, Compression: c}
			for i := 0; i < len(original); i += 97 {
				data := slices.Clone(original)
				data[i] ^= 1
				if err := os.WriteFile(path, data, 0o666); err != nil {
					t.Fatal(err)
				}
				if faults, err := (home{dir: dir}).verifyShard(context.Background(), m, "train", info); err != nil || len(faults) == 0 {
					t.Fatalf("%s %s: flip of byte %d: faults %v, %v", p, c, i, faults, err)
				}
			}
		}
	}
}

// wantTyped fails unless err is of one of the package's types.
func wantTyped(t testing.TB, err error) {
	t.Helper()
	var corrupt *CorruptError
	var unsupported *UnsupportedError
	var version *VersionError
	if !errors.As(err, &corrupt) && !errors.As(err, &unsupported) && !errors.As(err, &version) {
		t.Fatalf("error %v (%T) is of no type of the package", err, err)
	}
}

// A shard that is cut while it is open gives an error that names it, not a crash.
func TestShardCutWhileOpen(t *testing.T) {
	shape := Shape{C: 3, H: 100, W: 100}
	for _, c := range []Compression{None, Zstd} {
		path := filepath.Join(t.TempDir(), "s.arrow")
		writeShard(t, path, testOptions(Int16, c, shape), testRecords(4, shape))
		s, err := openShard(path)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		if _, err := s.row(0, nil); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 4096); err != nil {
			t.Skipf("mapped files cannot be cut here: %v", err)
		}
		for _, read := range []func() error{
			func() error { _, err := s.row(3, nil); return err },
			func() error { return s.fetch(3) },
			func() error { _, err := s.label(3); return err },
			func() error { _, err := s.key(3); return err },
		} {
			err := read()
			var failed *fs.PathError
			if !errors.As(err, &failed) || failed.Path != path {
				t.Fatalf("error %v (%T) is no *fs.PathError of %s", err, err, path)
			}
			wantError(t, err, "row 3: ", "the disk failed, or the file was cut while it was open")
		}
	}
}

// A row that was read before, and whose checksum is not looked at again, is
// found to be gone by Fetch, not by whoever uses its pixels.
func TestFetchOfRowCutWhileOpen(t *testing.T) {
	shape := Shape{C: 3, H: 200, W: 200}
	path := filepath.Join(t.TempDir(), "s.arrow")
	rows := testRecords(1, shape)
	writeShard(t, path, testOptions(Int16, None, shape), rows)
	s, err := openShard(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for range 2 {
		if err := s.fetch(0); err != nil {
			t.Fatal(err)
		}
		row, err := s.row(0, nil)
		if err != nil {
			t.Fatal(err)
		}
		wantRow(t, row, rows[0], Int16, testBaseline(Int16, shape))
	}
	// The header stays, and what the footer says is in the shard's own memory
	// or in the part that stays.
	data := s.arrow.data
	s.arrow.blocks = bytes.Clone(s.arrow.blocks)
	if err := os.Truncate(path, int64(len(data)/2)); err != nil {
		t.Skipf("mapped files cannot be cut here: %v", err)
	}
	if _, err := s.row(0, nil); err != nil {
		t.Errorf("the row's head is there, and Row says %v", err)
	}
	err = s.fetch(0)
	var failed *fs.PathError
	if !errors.As(err, &failed) || failed.Path != path {
		t.Fatalf("error %v (%T) is no *fs.PathError of %s", err, err, path)
	}
	wantError(t, err, "row 0: ", "the file was cut while it was open")
}

// Shards and manifests that are well-formed but not ours, or contradict each other.
func TestMisfits(t *testing.T) {
	rows := testRecords(4, testShape)
	other := Shape{C: 1, H: 5, W: 21} // as large
	for _, c := range []struct {
		name  string
		put   func(t *testing.T, path string) ShardInfo
		parts []string
	}{
		{"other pixels", func(t *testing.T, path string) ShardInfo {
			return writeShard(t, path, testOptions(Uint8, None, testShape), rows)
		}, []string{`it holds uint8 pictures of 3x5x7 of split "train"; the manifest says int16, 3x5x7, "train"`}},
		{"other shape", func(t *testing.T, path string) ShardInfo {
			return writeShard(t, path, testOptions(Int16, None, other), rows)
		}, []string{"it holds int16 pictures of 1x5x21"}},
		{"other split", func(t *testing.T, path string) ShardInfo {
			o := testOptions(Int16, None, testShape)
			o.Split = "val"
			return writeShard(t, path, o, rows)
		}, []string{`of split "val"; the manifest says`}},
		{"other rows", func(t *testing.T, path string) ShardInfo {
			info := writeShard(t, path, testOptions(Int16, None, testShape), rows[:3])
			info.Rows = 4
			return info
		}, []string{"it has 3 rows, the manifest says 4"}},
		{"a mean in its place", func(t *testing.T, path string) ShardInfo {
			mean, err := WriteMean(path, testMean(Int16, testShape))
			if err != nil {
				t.Fatal(err)
			}
			stat, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			return ShardInfo{File: mean.File, Rows: 4, Bytes: stat.Size(), SHA256: mean.SHA256}
		}, []string{"it has 2 columns, not 8"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			m := writeDataset(t, dir, Int16, None, testShape, rows, 4)
			train := m.Splits["train"]
			train.Shards[0] = c.put(t, filepath.Join(dir, train.Shards[0].File))
			if err := WriteManifest(dir, m); err != nil {
				t.Fatal(err)
			}
			wantCorrupt(t, readAll(dir), "train-00000-of-00001.arrow", -1, c.parts...)
		})
	}
	ds := &Dataset{Dir: "d", Manifest: &Manifest{Splits: map[string]SplitInfo{"train": {}, "val": {}}}}
	_, err := ds.OpenSplit("test")
	wantError(t, err, `d has no split "test"; it has train, val`)
}

// A shard's own version counts too.
func TestShardOfAnotherVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.arrow")
	writeShard(t, path, testOptions(Uint8, None, testShape), testRecords(2, testShape))
	edit(t, path, func(b []byte) []byte {
		// In the footer, the version is the string "2" right after its key's.
		footer := b[footerStart(b):]
		f, err := parseArrowFile(b)
		if err != nil || f.meta[metaVersion] != "2" {
			t.Fatal(f, err)
		}
		root := rootTable(footer)
		var schema flatbuffers.Table
		childTable(&root, 6, &schema)
		kv := tableAt(&schema, 8, 1)
		value := kv.ByteVector(kv.Pos + flatbuffers.UOffsetT(kv.Offset(6)))
		value[0] = '7'
		return b
	})
	_, err := openShard(path)
	var version *VersionError
	if !errors.As(err, &version) || version.Got != 7 {
		t.Fatalf("error %v (%T) is no *VersionError of 7", err, err)
	}
	wantError(t, err, path, "format version 7, this program reads version 2")
}

// What a manifest must not say.
func TestManifestContradictions(t *testing.T) {
	dir := t.TempDir()
	writeDataset(t, dir, Int16, None, testShape, testRecords(4, testShape), 2)
	change := func(m *Manifest, f func(*SplitInfo)) {
		s := m.Splits["train"]
		f(&s)
		m.Splits["train"] = s
	}
	for _, c := range []struct {
		name string
		edit func(m *Manifest)
		want string
	}{
		{"shape", func(m *Manifest) { m.Shape.H = 0 }, "shape 3x0x7: each dimension must be 1 to 65535"},
		{"huge shape", func(m *Manifest) { m.Shape = Shape{65535, 65535, 65535} }, "at most 268435456 are supported"},
		{"pixels", func(m *Manifest) { m.Pixels = "float64" }, `pixels "float64"; there are "int16" and "uint8"`},
		{"compression", func(m *Manifest) { m.Compression = "gzip" }, `compression "gzip"; there are "none", "lz4" and "zstd"`},
		{"mean outside", func(m *Manifest) { m.Mean.File = "../mean.arrow" }, `"../mean.arrow" is not the name of a file in its folder`},
		{"mean's digest", func(m *Manifest) { m.Mean.SHA256 = "abc" }, `"abc" is not a SHA-256`},
		{"shard outside", func(m *Manifest) { change(m, func(s *SplitInfo) { s.Shards[0].File = `c:\x` }) }, `is not the name of a file`},
		{"shard twice", func(m *Manifest) { change(m, func(s *SplitInfo) { s.Shards[0] = s.Shards[1] }) }, "train-00001-of-00002.arrow is listed twice"},
		{"negative rows", func(m *Manifest) { change(m, func(s *SplitInfo) { s.Shards[0].Rows = -2 }) }, "has -2 rows"},
		{"rows", func(m *Manifest) { change(m, func(s *SplitInfo) { s.Shards[0].Rows = 3 }) }, `split "train" has 4 pictures written`},
		{"sum", func(m *Manifest) { change(m, func(s *SplitInfo) { s.Seen = 9 }) }, `split "train": 9 seen are not 4 written + 2 rejected`},
		{"split's name", func(m *Manifest) { m.Splits["a/b"] = SplitInfo{} }, `split "a/b": the name must be`},
		{"PCA of grey", func(m *Manifest) { m.Shape.C = 1 }, "a PCA of RGB for pictures of 1 planes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := ReadManifest(dir)
			if err != nil {
				t.Fatal(err)
			}
			c.edit(m)
			target := t.TempDir()
			wantError(t, WriteManifest(target, m), c.want)
			if left := names(t, target); len(left) != 0 {
				t.Errorf("WriteManifest left %q", left)
			}
			// The same from a file: digest and all in order.
			_, err = parseManifest("manifest.json", mustJSON(t, m))
			wantTyped(t, err)
			wantError(t, err, "manifest.json", c.want)
		})
	}
}

// What a ShardWriter refuses, and that it goes on after it.
func TestWriterRefuses(t *testing.T) {
	good := testRecords(2, testShape)
	bad := func(f func(*Record)) Record { r := good[0]; f(&r); return r }
	path := filepath.Join(t.TempDir(), "s.arrow")
	w, err := CreateShard(path, testOptions(Int16, None, testShape))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for _, c := range []struct {
		record Record
		want   string
	}{
		{bad(func(r *Record) { r.Key = "" }), "a key must be 1 to 4096 bytes of UTF-8"},
		{bad(func(r *Record) { r.Key = "\xff" }), "a key must be 1 to 4096 bytes of UTF-8"},
		{bad(func(r *Record) { r.Key = strings.Repeat("k", 4097) }), "a key must be"},
		{bad(func(r *Record) { r.Pixels = r.Pixels[1:] }), "104 pixel values for the shape 3x5x7, which has 105"},
		{bad(func(r *Record) { r.Label = -2 }), "label -2: labels count from 0"},
		{bad(func(r *Record) { r.ILSVRCID = -1 }), "ILSVRC id -1: ids count from 1"},
	} {
		wantError(t, w.Write(c.record), path, "row 0", c.want)
	}
	if err := w.Write(good[1]); err != nil {
		t.Fatal(err)
	}
	if info, err := w.Commit(); err != nil || info.Rows != 1 {
		t.Fatal(info, err)
	}
	wantError(t, w.Write(good[0]), path, "the shard is committed already")
	_, err = w.Commit()
	wantError(t, err, path, "the shard is committed already")

	for _, c := range []struct {
		edit func(*WriterOptions)
		want string
	}{
		{func(o *WriterOptions) { o.Split = "" }, `split "": the name must be`},
		{func(o *WriterOptions) { o.Shape.W = -1 }, "each dimension must be"},
		{func(o *WriterOptions) { o.Pixels = "" }, `not supported: pixels ""`},
		{func(o *WriterOptions) { o.Compression = "" }, `not supported: compression ""`},
		{func(o *WriterOptions) { o.Baseline = nil }, "int16 pixels need a baseline of 105 values, not of 0"},
		{func(o *WriterOptions) { o.Pixels = Uint8 }, "the baseline must be nil"},
	} {
		o := testOptions(Int16, None, testShape)
		c.edit(&o)
		path := filepath.Join(t.TempDir(), "s.arrow")
		_, err := CreateShard(path, o)
		wantError(t, err, path, c.want)
		if left := names(t, filepath.Dir(path)); len(left) != 0 {
			t.Errorf("left: %q", left)
		}
	}
}

func TestMeanRefuses(t *testing.T) {
	for _, c := range []struct {
		edit func(*Mean)
		want string
	}{
		{func(m *Mean) { m.Mean = m.Mean[1:] }, "104 means and 105 baseline values for the shape 3x5x7"},
		{func(m *Mean) { m.Baseline = nil }, "0 baseline values"},
		{func(m *Mean) { m.Mean[3] = 0.3 }, "mean value 3 is 0.3, not a multiple of 1/1024"},
		{func(m *Mean) { m.Mean[4] = -1 }, "mean value 4 is -1"},
		{func(m *Mean) { m.Mean[4] = 255.5 }, "mean value 4 is 255.5"},
		{func(m *Mean) { m.Shape = Shape{} }, "each dimension must be"},
	} {
		m := testMean(Int16, testShape)
		c.edit(m)
		path := filepath.Join(t.TempDir(), MeanName)
		_, err := WriteMean(path, m)
		wantError(t, err, path, c.want)
		if left := names(t, filepath.Dir(path)); len(left) != 0 {
			t.Errorf("left: %q", left)
		}
	}
	_, err := ReadMean(filepath.Join(t.TempDir(), "none.arrow"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	path := filepath.Join(t.TempDir(), "shard.arrow")
	writeShard(t, path, testOptions(Uint8, None, testShape), nil)
	_, err = ReadMean(path)
	wantCorrupt(t, err, "shard.arrow", -1, "its columns are not mean (float32) and baseline (uint8)")
}

// A mean picture with numbers that are none is damaged, and is not written.
func TestMeanIsFinite(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1) - 1} {
		m := testMean(Int16, testShape)
		path := filepath.Join(t.TempDir(), MeanName)
		if _, err := WriteMean(path, m); err != nil {
			t.Fatal(err)
		}
		edit(t, path, func(b []byte) []byte {
			at := bytes.Index(b, arrow.Float32Traits.CastToBytes(m.Mean[2:6]))
			binary.LittleEndian.PutUint32(b[at+4:], math.Float32bits(float32(v)))
			return b
		})
		_, err := ReadMean(path)
		wantCorrupt(t, err, MeanName, -1, fmt.Sprintf("mean value 3 is %v, not a multiple of 1/1024 from 0 to 255", v))
		m.Mean[3] = float32(v)
		_, err = WriteMean(path, m)
		wantError(t, err, path, fmt.Sprintf("mean value 3 is %v", v))
	}
}

// A shard that is deleted while it is open can be read to the end.
func TestShardDeletedWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.arrow")
	rows := testRecords(4, testShape)
	writeShard(t, path, testOptions(Int16, None, testShape), rows)
	s, err := openShard(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := os.Remove(path); err != nil {
		t.Skipf("mapped files cannot be deleted here: %v", err)
	}
	s.willNeed(0, 4)
	s.dontNeed(0, 4)
	for i, rec := range rows {
		if err := s.fetch(i); err != nil {
			t.Fatal(err)
		}
		row, err := s.row(i, nil)
		if err != nil {
			t.Fatal(err)
		}
		wantRow(t, row, rec, Int16, testBaseline(Int16, testShape))
	}
}

// fullDisk is a file on a disk with room for some bytes.
type fullDisk struct {
	room             int
	aborted, visible bool
}

var errNoSpace = errors.New("no space left on device")

// Write takes what fits.
func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) > d.room {
		n := d.room
		d.room = 0
		return n, errNoSpace
	}
	d.room -= len(p)
	return len(p), nil
}

// Commit notes that the file got its name.
func (d *fullDisk) Commit() error { d.visible = true; return nil }

// Abort notes that the file was given up.
func (d *fullDisk) Abort() error { d.aborted = true; return nil }

// Wherever the disk gets full, the shard is given up and says so ever after.
func TestDiskGetsFull(t *testing.T) {
	shape := Shape{C: 3, H: 60, W: 60}
	rows := testRecords(12, shape)
	encodings(t, func(t *testing.T, p PixelType, c Compression) {
		for room := 0; ; room += 20000 {
			disk := &fullDisk{room: room}
			w, err := newShardWriter("s.arrow", disk, testOptions(p, c, shape))
			if err != nil {
				t.Fatal(err)
			}
			var failed error
			for _, r := range rows {
				if failed = w.Write(r); failed != nil {
					break
				}
			}
			info, err := w.Commit()
			if err == nil {
				if room < int(info.Bytes) || !disk.visible || disk.aborted {
					t.Fatalf("%d bytes fit in %d: %+v", info.Bytes, room, disk)
				}
				return
			}
			if !errors.Is(err, errNoSpace) || !disk.aborted || disk.visible {
				t.Fatalf("room %d: Commit returns %v, disk is %+v", room, err, disk)
			}
			if failed != nil && !errors.Is(failed, errNoSpace) {
				t.Fatalf("Write returned %v", failed)
			}
			wantError(t, w.Write(rows[0]), "s.arrow", "no space left on device")
			if err := w.Abort(); err != nil {
				t.Error(err)
			}
		}
	})
}

// A shard that is given up leaves nothing, and its goroutines end (TestMain
// looks for goroutines that did not).
func TestAbort(t *testing.T) {
	encodings(t, func(t *testing.T, p PixelType, c Compression) {
		dir := t.TempDir()
		w, err := CreateShard(filepath.Join(dir, "s.arrow"), testOptions(p, c, testShape))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range testRecords(5, testShape) {
			if err := w.Write(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(w.Abort(), w.Abort()); err != nil {
			t.Fatal(err)
		}
		if left := names(t, dir); len(left) != 0 {
			t.Errorf("left: %q", left)
		}
		_, err = w.Commit()
		wantError(t, err, "the shard was given up")
	})
}
