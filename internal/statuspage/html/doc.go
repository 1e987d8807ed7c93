// Package html is the Status function for browsers: it answers the routes of
// [statuspage] with pages where the caller prefers HTML to JSON, and with the JSON itself
// to everybody else.
//
// # What a page shows
//
// A page is made of the JSON answers of the same function to the same caller, asked in
// this process: one for the route, and for the overview and the header some more. So a
// page shows what a program would get, decided by the same identity, with the same status.
// The ledger is never read in a second way. [render] is pure: answers in, bytes out.
//
// # What a browser may do with it
//
// Nothing stands inline: one stylesheet and one script are assets of the function, named by
// a hash of their content, which is all that the content security policy allows. Every page
// works without the script; it refreshes in place, makes commands easy to copy, and shows
// times in the reader's zone on demand. Links are relative, because the function may be
// reached under any prefix.
//
// Text of users is escaped by html/template, and hidden characters in it are shown as
// escapes by package visible, in all strings of an answer before a template has them.
package html
