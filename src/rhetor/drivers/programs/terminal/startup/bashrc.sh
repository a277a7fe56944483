# Start-up of a wrapped bash: the user's own files, then marks around prompts and commands (OSC 133).
case $RHETOR_BASH_READS in
profile)
  [ -r /etc/profile ] && . /etc/profile
  if [ -r ~/.bash_profile ]; then . ~/.bash_profile
  elif [ -r ~/.bash_login ]; then . ~/.bash_login
  elif [ -r ~/.profile ]; then . ~/.profile
  fi
  ;;
bashrc)
  case $RHETOR_BASH_RC in
  '~/'*) [ -r ~/"${RHETOR_BASH_RC#'~/'}" ] && . ~/"${RHETOR_BASH_RC#'~/'}" ;;
  *) [ -r "$RHETOR_BASH_RC" ] && . "$RHETOR_BASH_RC" ;;
  esac
  ;;
esac
unset RHETOR_BASH_READS RHETOR_BASH_RC

# sets $? to the status of the user's command again, for the user's own prompt commands
__rhetor_status() { return "$1"; }
__rhetor_prompt() {
  local code=$? each
  builtin printf '\033]133;D;%s\007' "$code"
  for each in "${__rhetor_user_prompt[@]}"; do
    __rhetor_status "$code"
    builtin eval "$each"
  done
  case $PS1 in
  *'133;A'*) ;;
  *) PS1='\[\033]133;A\007\]'"$PS1"'\[\033]133;B\007\]' ;;
  esac
  __rhetor_status "$code"
}
__rhetor_user_prompt=("${PROMPT_COMMAND[@]}")
unset PROMPT_COMMAND
PROMPT_COMMAND=__rhetor_prompt
PS0='\033]133;C\007'"$PS0"
