#compdef jobscheduler
# zsh completion for jobscheduler. The program itself says what may follow; see `jobscheduler completion --help`.

_jobscheduler() {
    local program=jobscheduler kind note ret=1
    local -a lines space=()
    # `./jobscheduler` and the like complete what they are; an alias is no program.
    [[ $words[1] == */* ]] && program=${words[1]/#\~\//$HOME/}
    lines=("${(@f)$("$program" __complete zsh "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    kind=${lines[1]%%$'\t'*}
    note=${lines[1]#*$'\t'}
    shift lines
    [[ $PREFIX == --*=* ]] && compset -P 1 '*='
    [[ $kind == list ]] && space=(-S '') # a comma may follow
    (( $#lines )) && _describe -V "$note" lines "${space[@]}" && ret=0
    case $kind in
        files) _files && ret=0 ;;
        directories) _files -/ && ret=0 ;;
        users) _users && ret=0 ;;
        groups) _groups && ret=0 ;;
        *) (( $#lines )) || [[ -z $note ]] || _message -r "$note" ;;
    esac
    return ret
}

if [[ $funcstack[1] == _jobscheduler ]]; then # autoloaded, at the first Tab
    _jobscheduler "$@"
else
    compdef _jobscheduler jobscheduler
fi
