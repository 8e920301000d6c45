package client

import "github.com/fanwire/fanwire/internal/args"

// Args are the arguments of an event or ack, undecoded: Len, Raw(i), All,
// Bind(i, &v), BindAll(&a, &b), Attachments. Given to Emit it stands for all of
// its arguments.
type Args = args.Args

// Binary is a []byte that travels as a binary attachment, as any other []byte
// does. It is what an attachment is in an any.
type Binary = args.Binary

// None stands for no arguments.
type None = args.None

// Tuple2 stands for two arguments.
type Tuple2[A, B any] = args.Tuple2[A, B]

// Tuple3 stands for three arguments.
type Tuple3[A, B, C any] = args.Tuple3[A, B, C]
