// Package visible makes text of users safe to show. A character that a reader
// cannot see, or that changes how its neighbours are shown, is written as an
// escape: otherwise a reason, a log record or a terminal shows other words than
// the text has (Unicode Technical Report 36, sections 2 and 3).
package visible

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text returns s with every hidden character written as the escape that Go and
// JSON share: \u202e, \n; bytes that are not UTF-8 as \xff. Text without
// hidden characters is returned as it is. It is not an encoding: a
// backslash stays one backslash.
func Text(s string) string {
	first := strings.IndexFunc(s, hiddenOrInvalid)
	if first < 0 {
		return s
	}
	var b strings.Builder
	b.WriteString(s[:first])
	for rest := s[first:]; rest != ""; {
		c, size := utf8.DecodeRuneInString(rest)
		switch {
		case c == utf8.RuneError && size == 1:
			b.WriteString(`\x` + strconv.FormatUint(uint64(rest[0]), 16))
		case Hidden(c):
			b.WriteString(escape(c))
		default:
			b.WriteRune(c)
		}
		rest = rest[size:]
	}
	return b.String()
}

// JSON returns a JSON text with the hidden characters of its strings as JSON
// escapes. It has the same meaning, so programs read the same values.
func JSON(text []byte) []byte {
	var b strings.Builder
	for _, c := range string(text) {
		switch {
		case c >= ' ' && c != utf8.RuneError && Hidden(c):
			if c > 0xffff {
				c -= 0x10000
				b.WriteString(unit(0xd800+c>>10) + unit(0xdc00+c&0x3ff))
			} else {
				b.WriteString(unit(c))
			}
		default:
			b.WriteRune(c)
		}
	}
	return []byte(b.String())
}

func unit(c rune) string {
	const digits = "0123456789abcdef"
	return `\u` + string([]byte{digits[c>>12&15], digits[c>>8&15], digits[c>>4&15], digits[c&15]})
}

// escape is the form of c inside a quoted ASCII string.
func escape(c rune) string { return strings.Trim(strconv.QuoteRuneToASCII(c), "'") }

func hiddenOrInvalid(c rune) bool { return c == utf8.RuneError || Hidden(c) }

// Hidden says whether a reader cannot see c, or c changes how other characters
// are shown: controls (C0, C1), line and paragraph separators, bidirectional
// and zero-width characters, tags, variation selectors, white space that is not
// the plain space, and code points that stand for no character.
func Hidden(c rune) bool {
	return !unicode.IsPrint(c) || unicode.Is(blank, c)
}

// blank are characters that count as printable and show nothing
// (Default_Ignorable_Code_Point of Unicode, and the blank braille pattern).
var blank = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x034f, Hi: 0x034f, Stride: 1}, // combining grapheme joiner
		{Lo: 0x115f, Hi: 0x1160, Stride: 1}, // Hangul fillers
		{Lo: 0x17b4, Hi: 0x17b5, Stride: 1}, // Khmer inherent vowels
		{Lo: 0x180b, Hi: 0x180f, Stride: 1}, // Mongolian selectors
		{Lo: 0x2800, Hi: 0x2800, Stride: 1}, // blank braille pattern
		{Lo: 0x3164, Hi: 0x3164, Stride: 1}, // Hangul filler
		{Lo: 0xfe00, Hi: 0xfe0f, Stride: 1}, // variation selectors
		{Lo: 0xffa0, Hi: 0xffa0, Stride: 1}, // halfwidth Hangul filler
	},
	R32: []unicode.Range32{
		{Lo: 0xe0000, Hi: 0xe0fff, Stride: 1}, // tags and variation selectors
	},
}
