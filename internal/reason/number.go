package reason

import (
	"strconv"
	"strings"
)

// Count is a number with its noun: 1 replica, 2 replicas, 2 stories, 2 days.
func Count[N ~int | ~int32 | ~int64](n N, noun string) string {
	word := strconv.FormatInt(int64(n), 10) + " "
	stem, isY := strings.CutSuffix(noun, "y")
	switch {
	case n == 1:
		return word + noun
	case isY && !strings.ContainsAny(stem[len(stem)-1:], "aeou"):
		return word + stem + "ies"
	}
	return word + noun + "s"
}

// Agree is the form of a word after a number: one after 1, and many after any other.
func Agree[N ~int | ~int32 | ~int64](n N, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
