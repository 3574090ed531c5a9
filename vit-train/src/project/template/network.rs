//! The network of this project, which training and firmware share.

#![no_std]

vit_nostd::network! {
    /// @purpose@
    pub @Network@ {
        image: [@height@, @width@, @channels@],
        @tokenizer@,
        embed: @embed@,
        heads: @heads@,
        hidden: @hidden@,
        depth: @depth@,
        classes: @classes@,
    }
}
