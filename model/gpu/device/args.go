package device

import "math"

// Args are the parameters of a kernel, a word each. The zero value is none.
type Args []uint64

// Ptr adds an address.
func (a Args) Ptr(p ...Ptr) Args {
	for _, p := range p {
		a = append(a, uint64(p))
	}
	return a
}

// Int adds integers, for parameters of type int or long long.
func (a Args) Int(v ...int) Args {
	for _, v := range v {
		a = append(a, uint64(int64(v)))
	}
	return a
}

// Word adds unsigned words, for parameters of type unsigned long long or narrower.
func (a Args) Word(v ...uint64) Args { return append(a, v...) }

// Float adds parameters of type float.
func (a Args) Float(v ...float32) Args {
	for _, v := range v {
		a = append(a, uint64(math.Float32bits(v)))
	}
	return a
}
