package main

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// columns is how many columns of a terminal a text takes: two for a wide character (Unicode
// Standard Annex 11), none for a mark that is put onto the character before it.
func columns(text string) int {
	n := 0
	for _, c := range text {
		n += columnsOf(c)
	}
	return n
}

func columnsOf(c rune) int {
	if c < 0x300 {
		return 1
	}
	if unicode.In(c, unicode.Mn, unicode.Me) {
		return 0
	}
	if k := width.LookupRune(c).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
		return 2
	}
	return 1
}

// leading is how many spaces a text begins with.
func leading(text string) int { return len(text) - len(strings.TrimLeft(text, " ")) }

// afterIt reports whether a line may end after a character, because what follows is another
// part of a name.
func afterIt(c rune) bool { return c == '/' || c == ',' }

// widestWord is the widest part of a text that [wrap] does not break.
func widestWord(text string) int {
	most, n := 0, 0
	for _, c := range text {
		if c == ' ' {
			n = 0
			continue
		}
		if n += columnsOf(c); n > most {
			most = n
		}
		if afterIt(c) {
			n = 0
		}
	}
	return most
}

// wrap breaks a text into lines of at most so many columns: at spaces where it can, else
// after a slash or comma, else after another mark within a name, else anywhere. Further lines are indented as the first is.
func wrap(text string, most int) []string {
	indent := leading(text)
	if indent >= most/2 {
		indent = 0
	}
	var lines []string
	for columns(text) > most {
		at := lineEnd(text, indent, most)
		lines = append(lines, text[:at])
		text = strings.Repeat(" ", indent) + strings.TrimLeft(text[at:], " ")
	}
	return append(lines, text)
}

// lineEnd is the byte at which the first line of a text ends, after its indent.
func lineEnd(text string, indent, most int) int {
	space, part, mark, word, n := -1, -1, -1, -1, 0
	for at, c := range text {
		if n > most {
			break
		}
		if n > indent {
			word = at
			if c == ' ' {
				space = at
			}
		}
		n += columnsOf(c)
		if next := at + len(string(c)); n > indent && n <= most {
			switch {
			case afterIt(c):
				part = next
			case strings.ContainsRune(".-_:]", c):
				mark = next
			}
		}
	}
	switch {
	case space >= 0:
		return space
	case part >= 0:
		return part
	case mark >= 0:
		return mark
	}
	return word
}
