package ptx

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

type tokenKind uint8

const (
	tokEOF   tokenKind = iota
	tokName            // add, %r1, $L__BB0_1, _
	tokDot             // .global, without its dot
	tokInt             // value in bits
	tokF32             // 0f..., its bits
	tokF64             // 0d... or decimal, its bits
	tokText            // a string
	tokPunct           // one character
)

type token struct {
	kind tokenKind
	text string
	bits uint64
	line int
}

func (t token) is(punct string) bool   { return t.kind == tokPunct && t.text == punct }
func (t token) isDot(name string) bool { return t.kind == tokDot && t.text == name }

func isNameStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '$' || c == '%'
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isNamePart(c byte) bool { return isNameStart(c) && c != '%' || isDigit(c) }

// lex cuts a text into tokens, the last of which is tokEOF.
func lex(src string) ([]token, error) {
	var toks []token
	line := 1
	for i := 0; i < len(src); {
		c := src[i]
		switch {
		case c == '\n':
			line++
			i++
		case c == ' ' || c == '\t' || c == '\r' || c == 0 && strings.Trim(src[i:], "\x00") == "":
			i++
		case strings.HasPrefix(src[i:], "//"):
			i += until(src[i:], "\n", 0)
		case strings.HasPrefix(src[i:], "/*"):
			n := until(src[i:], "*/", 2)
			line += strings.Count(src[i:i+n], "\n")
			i += n
		case c == '"':
			n := strings.IndexByte(src[i+1:], '"')
			if n < 0 {
				return nil, &SyntaxError{line, "a string without end"}
			}
			toks = append(toks, token{tokText, src[i+1 : i+1+n], 0, line})
			line += strings.Count(src[i+1:i+1+n], "\n")
			i += n + 2
		case isNameStart(c):
			n := 1
			for i+n < len(src) && isNamePart(src[i+n]) {
				n++
			}
			toks = append(toks, token{tokName, src[i : i+n], 0, line})
			i += n
		case c == '.' && i+1 < len(src) && isNamePart(src[i+1]):
			n := 2
			for i+n < len(src) && (isNamePart(src[i+n]) || strings.HasPrefix(src[i+n:], "::") || src[i+n] == ':' && src[i+n-1] == ':') {
				n++
			}
			toks = append(toks, token{tokDot, src[i+1 : i+n], 0, line})
			i += n
		case isDigit(c):
			t, n, err := number(src[i:])
			if err != nil {
				return nil, &SyntaxError{line, err.Error()}
			}
			t.line = line
			toks = append(toks, t)
			i += n
		case strings.IndexByte("()[]{}<>,;:=+-*/!@|&^~#?", c) >= 0:
			toks = append(toks, token{tokPunct, src[i : i+1], 0, line})
			i++
		default:
			return nil, &SyntaxError{line, fmt.Sprintf("unexpected character %q", c)}
		}
	}
	return append(toks, token{kind: tokEOF, line: line}), nil
}

// until returns the length of s up to an end and so many bytes of it.
func until(s, end string, of int) int {
	if n := strings.Index(s, end); n >= 0 {
		return n + of
	}
	return len(s)
}

// number reads the number that s begins with and returns its length.
func number(s string) (token, int, error) {
	n := 1
	for n < len(s) && (isNamePart(s[n]) || s[n] == '.' && n+1 < len(s) && isDigit(s[n+1]) ||
		(s[n] == '-' || s[n] == '+') && (s[n-1] == 'e' || s[n-1] == 'E') && decimal(s[:n-1])) {
		n++
	}
	text := s[:n]
	bad := fmt.Errorf("%.40q is no number", text)
	if len(text) > 2 && text[0] == '0' && strings.IndexByte("fFdD", text[1]) >= 0 {
		bits, err := strconv.ParseUint(text[2:], 16, 64)
		wide := text[1] == 'd' || text[1] == 'D'
		if err != nil || len(text) != 10 && !wide || len(text) != 18 && wide {
			return token{}, 0, bad
		}
		if wide {
			return token{kind: tokF64, text: text, bits: bits}, n, nil
		}
		return token{kind: tokF32, text: text, bits: bits}, n, nil
	}
	if decimal(text) && strings.ContainsAny(text, ".eE") {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return token{}, 0, bad
		}
		return token{kind: tokF64, text: text, bits: math.Float64bits(v)}, n, nil
	}
	bits, err := strconv.ParseUint(strings.TrimSuffix(text, "U"), 0, 64)
	if err != nil || strings.Contains(text, "_") {
		return token{}, 0, bad
	}
	return token{kind: tokInt, text: text, bits: bits}, n, nil
}

func decimal(s string) bool { return strings.Trim(s, "0123456789.eE+-") == "" }
