package records

import (
	"bytes"
	"path/filepath"
	"sync"
	"testing"

	"github.com/zeebo/xxh3"
)

// A row is the same the second time, when its head is known, and when several
// goroutines come to know it at once.
func TestRowsAgain(t *testing.T) {
	encodings(t, func(t *testing.T, p PixelType, c Compression) {
		path := filepath.Join(t.TempDir(), "s.arrow")
		rows := testRecords(9, testShape)
		writeShard(t, path, testOptions(p, c, testShape), rows)
		s, err := openShard(path)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				var sc Scratch
				for range 3 {
					for i, rec := range rows {
						row, err := s.row(i, &sc)
						if err != nil {
							t.Error(err)
							return
						}
						if row.Key != rec.Key || row.Label != rec.Label || row.CRC32C == 0 {
							t.Errorf("row %d is %+v", i, row)
						}
						if row.KeyXXH3 != xxh3.HashString(rec.Key) {
							t.Errorf("row %d: the key's hash is %x", i, row.KeyXXH3)
						}
					}
				}
			})
		}
		readers.Wait()
		for i, rec := range rows {
			row, err := s.row(i, new(Scratch))
			if err != nil {
				t.Fatal(err)
			}
			wantRow(t, row, rec, p, testBaseline(p, testShape))
			if _, kept := s.keptRow(i); kept != (c == None) {
				t.Errorf("row %d of a shard with compression %s: head kept: %t", i, c, kept)
			}
		}
	})
}

// A row whose checksum is wrong leaves nothing behind.
func TestDamagedRowIsNotKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.arrow")
	writeShard(t, path, testOptions(Uint8, None, testShape), testRecords(3, testShape))
	s, err := openShard(path)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := s.row(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	pixels := string(whole.U8[:16])
	s.close()
	edit(t, path, func(data []byte) []byte {
		data[bytes.Index(data, []byte(pixels))+5] ^= 1
		return data
	})
	if s, err = openShard(path); err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for range 2 {
		if _, err := s.row(0, nil); err == nil {
			t.Error("no error for a damaged row")
		}
	}
	if _, kept := s.keptRow(0); kept {
		t.Error("a damaged row was kept")
	}
}
