package ptx

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"
)

// arena is a device's memory for tests.
type arena struct {
	next   uint64
	blocks []arenaBlock
}

type arenaBlock struct {
	at   uint64
	data []byte
}

func (a *arena) Bytes(at uint64, n int, _ bool) ([]byte, error) {
	for _, b := range a.blocks {
		if at >= b.at && at+uint64(n) <= b.at+uint64(len(b.data)) {
			return b.data[at-b.at:][:n], nil
		}
	}
	return nil, fmt.Errorf("%d bytes at %#x: not allocated", n, at)
}

func (a *arena) alloc(n int) (uint64, []byte) {
	if a.next == 0 {
		a.next = 1 << 32
	}
	b := arenaBlock{a.next, make([]byte, n)}
	a.blocks = append(a.blocks, b)
	a.next += uint64(n+511) &^ 255
	return b.at, b.data
}

func (a *arena) floats(v ...float32) uint64 {
	at, b := a.alloc(4 * len(v))
	for i, v := range v {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
	}
	return at
}

func (a *arena) getWords(at uint64, n int) []uint32 {
	b, err := a.Bytes(at, 4*n, false)
	if err != nil {
		panic(err)
	}
	v := make([]uint32, n)
	for i := range v {
		v[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return v
}

func (a *arena) getFloats(at uint64, n int) []float32 {
	v := make([]float32, n)
	for i, w := range a.getWords(at, n) {
		v[i] = math.Float32frombits(w)
	}
	return v
}

func parse(t testing.TB, src string) *Module {
	t.Helper()
	m, err := Parse(src)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func entry(t testing.TB, m *Module, name string) *Entry {
	t.Helper()
	e, ok := m.Entry(name)
	if !ok {
		t.Fatalf("there is no %s among %v", name, m.Entries())
	}
	return e
}
